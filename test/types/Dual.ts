/** A function that takes what it works on first, or last and alone. */
export interface Dual<Self, Args extends ReadonlyArray<unknown>, A> {
  (...args: Args): (self: Self) => A
  (self: Self, ...args: Args): A
}

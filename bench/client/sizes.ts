/** How much of each is moved; the server and both sides agree on it. */
export const downloadBytes = 1024 ** 3
export const eventCount = 200_000
export const imageCount = 100_000
export const pageSize = 1000
export const requestCount = 2000

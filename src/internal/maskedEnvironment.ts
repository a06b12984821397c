/** Environments as event logs show them. */

const secret = /(?:TOKEN|SECRET|PASSWORD|API_KEY|CREDENTIALS|AUTHORIZATION)$/i

/** The environment with the values of variables that look like secrets masked. */
export const maskedEnvironment = (env: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).map(([name, value]) => [name, secret.test(name) ? "<MASKED>" : value]))

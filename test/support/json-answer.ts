/** What a server answered: what a test expects of it is what it asserts. */
// eslint-disable-next-line typescript/no-explicit-any
export type JsonAnswer = any

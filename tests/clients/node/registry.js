// The tests of a file by their titles.
export const tests = new Map();

export function test(title, run) {
  tests.set(title, run);
}

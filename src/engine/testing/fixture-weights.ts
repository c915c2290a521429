/** @file Weights of the models in test/parity/fixtures, which hold results alone. */

/** The same numbers as `formula` of test/parity/make_family_fixtures.py. */
export function formula(name: string, count: number): Float32Array {
  let seed = 0;
  for (let i = 0; i < name.length; i++) seed += (i + 1) * name.charCodeAt(i);
  seed %= 1009;
  const [scale, shift] = name.includes("norm") ? [0.1, 1] : [0.25, 0];
  return Float32Array.from(
    { length: count },
    (_, i) => Math.sin(0.37 * i + 1.3 * seed + 0.011 * (i % 97) * (i % 89)) * scale + shift,
  );
}

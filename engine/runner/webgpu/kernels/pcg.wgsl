// PCG-RXS-M-XS 32 (O'Neill 2014), word for word the pcg() of sampling.ts.
fn pcg(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737u;
  return (word >> 22) ^ word;
}

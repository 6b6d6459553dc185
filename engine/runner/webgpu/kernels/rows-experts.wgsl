// A mixture's matrices lie one after the other. What is computed is assignments: (token, choice) pairs, numbered
// token · step.experts + choice. routes says each one's expert and weight. Each is computed by itself, or, where
// step.expertTile is larger, in the order of experts.wgsl: tiles of assignments that share an expert, NONE where a
// tile is not full.
const NONE = 0xffffffffu;
@group(0) @binding(ROUTES) var<storage, read> routes: array<vec2u>; // (expert, weight as bits)
@group(0) @binding(ROUTES + 1) var<storage, read> order: array<u32>;

fn assignment(token: u32) -> u32 {
  if (step.expertTile == 1) { return token; }
  return order[token];
}
fn matrixRow(token: u32, part: u32) -> u32 { return routes[assignment(token)].x * 2 * PAIRS; }
fn idle(token: u32) -> bool { return assignment(token) == NONE; }
fn parts() -> u32 { return 1; }
fn tokens() -> u32 { return step.assignments; }

// A mixture's matrices lie one after the other; a token's output is the sum over the experts it was sent to.
@group(0) @binding(ROUTES) var<storage, read> routes: array<vec2u>; // (expert, weight as bits), step.experts a token
fn parts() -> u32 { return step.experts; }
fn matrixRow(token: u32, part: u32) -> u32 { return routes[token * step.experts + part].x * 2 * PAIRS; }
fn idle(token: u32) -> bool { return false; }

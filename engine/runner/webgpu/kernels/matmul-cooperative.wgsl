// Y = X · Wᵀ for TOKENS tokens a grid layer: one decode, or a small batch of them, for which each load of W serves
// all. A workgroup makes two pairs of rows; its invocations stride through the columns side by side, a unit of 16
// bytes of W at a time, so that reads of W coalesce. Sums are vectors over the four rows.
// W (2·PAIRS, cols): weights-*.wgsl; x (rows, cols). Grid: (ceil(PAIRS / 2), 1, ceil(tokens / TOKENS)), folded into y
// where x is too long.
override WG: u32 = 64; // at least 2 · TOKENS
override PAIRS: u32;
const VALUES = TOKENS + (TOKENS + 3) / 4; // a token's four rows' sums; then the tokens' sums of squares

@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn together(thread: u32, group: vec3u, groups: vec3u) {
  let first = (group.x + group.y * groups.x) * 2;
  let token = group.z * TOKENS;
  if (idle(token)) { return; }
  // Past the end the last row and the last token are computed again and dropped: barriers allow no early return.
  let last = tokens() - 1;
  var sums = array<vec4f, VALUES>();
  for (var p = 0u; p < parts(); p++) {
    var start: array<u32, TOKENS>;
    for (var t = 0u; t < TOKENS; t++) { start[t] = inputRow(min(token + t, last), p) * COLS4; }
    let base = matrixRow(token, p);
    let row = base + min(first, PAIRS - 1) * 2;
    let next = base + min(first + 1, PAIRS - 1) * 2;
    for (var u = thread; u < UNITS; u += WG) {
      let a = hold(row, u);
      let b = hold(row + 1, u);
      let c = hold(next, u);
      let d = hold(next + 1, u);
      for (var t = 0u; t < TOKENS; t++) {
        var products = vec4f();
        var sum = 0.0;
        var squares = 0.0;
        for (var j = 0u; j < UNIT4; j++) {
          let i = u * UNIT4 + j;
          var raw = x[start[t] + i];
          if (UNITS * UNIT4 != COLS4 && i >= COLS4) { raw = vec4f(); } // the last unit's padding
          let v = raw * gain(i);
          products += vec4f(dot(part(a, j), v), dot(part(b, j), v), dot(part(c, j), v), dot(part(d, j), v));
          sum += dot(v, vec4f(1));
          squares += dot(raw, raw);
        }
        sums[t] += vec4f(whole(a, products.x, sum), whole(b, products.y, sum), whole(c, products.z, sum), whole(d, products.w, sum));
        sums[TOKENS + t / 4][t % 4] += squares;
      }
    }
  }
  reduce(&sums, thread);
  // One invocation finishes one (pair, token).
  let t = thread % TOKENS;
  let pair = first + thread / TOKENS;
  if (thread < 2 * TOKENS && pair < PAIRS && token + t <= last) {
    let value = sums[t] * scale(sums[TOKENS + t / 4][t % 4]);
    finish(pair, token + t, select(value.xy, value.zw, thread >= TOKENS));
  }
}

// Y = X · Wᵀ for a prefill: a workgroup makes a square tile of 4·SIDE tokens by 4·SIDE rows, an invocation four by
// four of it, passing 16 columns of both operands through shared memory at a time. SIDE 16: 64 × 64; SIDE 8: 32 × 32.
// W (2·PAIRS, cols): weights-*.wgsl; x (rows, cols). Grid: (ceil(PAIRS / (2·SIDE)), 1, ceil(tokens / (4·SIDE))), x folded into y where too long.
override SIDE: u32 = 16;
override PAIRS: u32;
const DEPTH4 = 4u; // vec4s of columns in shared memory at a time
const PITCH = 5u; // their distance from row to row: one more, so that neighbours lie in different banks

@group(0) @binding(2) var<storage, read> x: array<vec4f>;

var<workgroup> xs: array<vec4f, 4 * SIDE * PITCH>;
var<workgroup> ws: array<vec4f, 4 * SIDE * PITCH>; // even rows first, then odd ones: an invocation's pairs are SIDE apart
var<workgroup> squares: array<f32, 4 * SIDE * DEPTH4>;

@compute @workgroup_size(SIDE * SIDE)
fn main(
  @builtin(local_invocation_index) thread: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let firstPair = (group.x + group.y * groups.x) * 2 * SIDE;
  let firstToken = group.z * 4 * SIDE;
  if (idle(firstToken)) { return; }
  let count = tokens();
  let base = matrixRow(firstToken, 0);
  let column = thread % SIDE; // which pairs: column and column + SIDE
  let line = thread / SIDE; // which tokens: line, line + SIDE, …
  var y0 = vec4f(); // (pair 0 even, pair 0 odd, pair 1 even, pair 1 odd) of the first token
  var y1 = vec4f();
  var y2 = vec4f();
  var y3 = vec4f();
  for (var i = thread; i < 4 * SIDE * DEPTH4; i += SIDE * SIDE) { squares[i] = 0; }

  for (var k = 0u; k < COLS4; k += DEPTH4) {
    for (var i = thread; i < 4 * SIDE * DEPTH4; i += SIDE * SIDE) {
      let r = i / DEPTH4;
      let c = i % DEPTH4;
      var vx = vec4f();
      var vw = vec4f();
      if (k + c < COLS4) {
        if (firstToken + r < count) {
          let raw = x[inputRow(firstToken + r, 0) * COLS4 + k + c];
          squares[i] += dot(raw, raw); // the same invocation each time round
          vx = raw * gain(k + c);
        }
        if (firstPair * 2 + r < PAIRS * 2) { vw = weight4(base + firstPair * 2 + r, k + c); }
      }
      xs[r * PITCH + c] = vx;
      ws[((r % 2) * 2 * SIDE + r / 2) * PITCH + c] = vw;
    }
    workgroupBarrier();
    for (var c = 0u; c < DEPTH4; c++) {
      let even0 = ws[column * PITCH + c];
      let even1 = ws[(column + SIDE) * PITCH + c];
      let odd0 = ws[(column + 2 * SIDE) * PITCH + c];
      let odd1 = ws[(column + 3 * SIDE) * PITCH + c];
      let x0 = xs[line * PITCH + c];
      let x1 = xs[(line + SIDE) * PITCH + c];
      let x2 = xs[(line + 2 * SIDE) * PITCH + c];
      let x3 = xs[(line + 3 * SIDE) * PITCH + c];
      y0 += vec4f(dot(x0, even0), dot(x0, odd0), dot(x0, even1), dot(x0, odd1));
      y1 += vec4f(dot(x1, even0), dot(x1, odd0), dot(x1, even1), dot(x1, odd1));
      y2 += vec4f(dot(x2, even0), dot(x2, odd0), dot(x2, even1), dot(x2, odd1));
      y3 += vec4f(dot(x3, even0), dot(x3, odd0), dot(x3, even1), dot(x3, odd1));
    }
    workgroupBarrier();
  }
  finishTwo(firstPair + column, firstToken + line, line, count, y0);
  finishTwo(firstPair + column, firstToken + line + SIDE, line + SIDE, count, y1);
  finishTwo(firstPair + column, firstToken + line + 2 * SIDE, line + 2 * SIDE, count, y2);
  finishTwo(firstPair + column, firstToken + line + 3 * SIDE, line + 3 * SIDE, count, y3);
}

fn finishTwo(pair: u32, token: u32, line: u32, count: u32, value: vec4f) {
  if (token >= count) { return; }
  let at = line * DEPTH4;
  let by = scale(squares[at] + squares[at + 1] + squares[at + 2] + squares[at + 3]);
  if (pair < PAIRS) { finish(pair, token, by * value.xy); }
  if (pair + SIDE < PAIRS) { finish(pair + SIDE, token, by * value.zw); }
}

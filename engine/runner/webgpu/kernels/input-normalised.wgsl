// RMSNorm in front of the matmul (Zhang & Sennrich 2019): W · (g ∘ x / rms) = (W · (g ∘ x)) / rms, so the
// sum of squares is gathered while x streams past and divided out of the finished sum.
// gains (d), and behind them the biases of the pairs where there are any.
override EPSILON: f32;

@group(0) @binding(3) var<storage, read> gains: array<vec4f>;

fn gain(i: u32) -> vec4f { return gains[i]; }
fn scale(sumOfSquares: f32) -> f32 { return 1 / sqrt(sumOfSquares / f32(4 * COLS4) + EPSILON); }

// One matrix for all tokens, and one row of input for each: no mixture of experts.
fn parts() -> u32 { return 1; }
fn matrixRow(token: u32, part: u32) -> u32 { return 0; }
fn idle(token: u32) -> bool { return false; }

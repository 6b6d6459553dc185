// A word's four bytes, where the language has no instruction for it.
fn signed8(word: u32) -> vec4f { return vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24, 16, 8, 0)) >> vec4u(24)); }
fn unsigned8(word: u32) -> vec4f { return vec4f((vec4u(word) >> vec4u(0, 8, 16, 24)) & vec4u(255)); }

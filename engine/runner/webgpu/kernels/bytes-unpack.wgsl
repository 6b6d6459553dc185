// A word's four bytes, by the language's own instruction (packed_4x8_integer_dot_product).
fn signed8(word: u32) -> vec4f { return vec4f(unpack4xI8(word)); }
fn unsigned8(word: u32) -> vec4f { return vec4f(unpack4xU8(word)); }

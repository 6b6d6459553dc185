// What one step is about. A slot of the uniform buffer per step of a chain, picked by dynamic offset,
// so that a whole chain is encoded without touching a buffer in between.
struct Step {
  rows: u32,        // tokens computed, over all chunks of the batch
  firstRow: u32,    // where they stand in the row table
  logits: u32,      // rows whose logits are wanted
  firstLogit: u32,  // where they stand in the list of logit rows
  firstTile: u32,   // where prefill tiles begin in the attention's work list; before them stand the decodes
  firstSample: u32, // where this step's samples begin
  splits: u32,      // parts that the longest decode's context is split into
  copies: u32,      // slots to be copied before anything else
  experts: u32,     // mixture of experts: how many a token is sent to
  expertTile: u32,  // tokens of one expert that a workgroup takes together; 1: each by itself
  assignments: u32, // (token, choice of expert) pairs, with what fills up the last tile of each expert
  touched: u32,     // where this step's marks of touched experts begin
}

// One token to compute. It sees the positions below `context`, and those up to `extent` whose bit is set in its
// mask: the ancestors of a row of a tree, and itself. In a chain extent is context, and there is no mask.
struct Row {
  token: i32,     // its id, or −1 − i for "what held[i] says"
  position: u32,  // in its sequence
  slot: u32,      // in the KV pool: block · 16 + offset
  table: u32,     // where its sequence's block table begins
  context: u32,
  extent: u32,
  mask: u32,      // where its mask's words begin, behind the block tables
  unused: u32,
}

@group(0) @binding(0) var<uniform> step: Step;

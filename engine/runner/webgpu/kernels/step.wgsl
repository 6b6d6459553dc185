// What one step is about. A slot of the uniform buffer per step of a chain, picked by dynamic offset,
// so that a whole chain is encoded without touching a buffer in between.
struct Step {
  rows: u32,        // tokens computed, over all chunks of the batch
  firstRow: u32,    // where they stand in the row table
  logits: u32,      // rows whose logits are wanted
  firstLogit: u32,  // where they stand in the list of logit rows
  firstTile: u32,   // where prefill tiles begin in the attention's work list; before them stand the decodes
  firstSample: u32, // where this step's samples begin
}

// One token to compute.
struct Row {
  token: i32,     // its id, or −1 − i for "what held[i] says"
  position: u32,  // in its sequence
  slot: u32,      // in the KV pool: block · 16 + offset
  table: u32,     // where its sequence's block table begins
}

@group(0) @binding(0) var<uniform> step: Step;

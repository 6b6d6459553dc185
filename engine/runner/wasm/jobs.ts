/**
 * What the TypeScript side and the WebAssembly side agree on. Both compile this file, so it holds plain
 * constants only. A job is one kernel over a range of units (panels, rows …) that threads may share out.
 */

/** Rows of a matrix that are stored, and computed, together (see assembly/matmul.ts). */
export const PANEL = 32
/** Tokens that a unit of a matmul takes at most: their activations stay in the L2 cache while a panel passes. */
export const TOKEN_BLOCK = 128
/** Positions of a KV block; equals BLOCK_SIZE. */
export const KV_BLOCK = 16

// How a matrix is stored.
export const F32 = 0
export const F16 = 1
export const INT8 = 2
export const INT4 = 3
/** With a minimum beside each scale. */
export const INT4_ASYMMETRIC = 4

// Kernels.
export const EMBED = 1
export const RMS_NORM = 2
export const MATMUL = 3
export const ROTATE_APPEND = 4
export const ATTEND = 5
export const SWIGLU = 6
export const GENERATE = 7
export const READ = 8
export const MADD = 9
export const MERGE = 10
export const COPY_SLOTS = 11
export const QUANTIZE = 12
export const ADD_ROW = 13
export const ADD_WEIGHTED = 14

// The control block, bytes from the start of memory. Words that different threads write stand on
// cache lines of their own.
/** u64: number of the job in the upper half, next unit to claim in the lower. */
export const TICKET = 64
/** u32: units finished. */
export const DONE = 128
/** u32: 1 while the leader sleeps on DONE. */
export const LEADER_ASLEEP = 192
/** u32: helpers asleep on the ticket. */
export const SLEEPERS = 256
/** u32: set once when a helper has trapped. */
export const FAILED = 320
/** u32: set once, tells helpers to return. */
export const QUIT = 324
/** u32: kernel, units, units a claim; then the kernel's arguments, 4 bytes each. */
export const KERNEL = 384
export const UNITS = 388
export const GRAIN = 392
export const ARGUMENTS = 400
/** Everything below is the control block's. */
export const CONTROL_BYTES = 512

/**
 * Bytes of a row's record, 32-bit words: token, position, address of its block table, slot that its key and
 * value go to, wall, path. Below the wall (a multiple of 16) position and slot are the same; from there on
 * the row looks at the slots listed at the address `path`, one for each position, its own the last.
 */
export const ROW_BYTES = 32
/** The wall of a row that belongs to no tree. */
export const NO_WALL = 0xffffffff

/** Positions whose attention is worked out together and then folded into what came before. */
export const SPLIT = 256
/** Query rows (rows × heads of a group) that an item of attention takes at most, a single row apart. */
export const TILE_QUERIES = 16
/** Bytes of an item of attention (assembly/attention.ts). */
export const ITEM_BYTES = 32

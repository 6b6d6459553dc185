import { ADD_ROW, ADD_WEIGHTED, ARGUMENTS, ATTEND, COPY_SLOTS, EMBED, GENERATE, KERNEL, MADD, MATMUL, MERGE, QUANTIZE, READ, RMS_NORM, ROTATE_APPEND, SWIGLU } from '../jobs'
import { attend, merge } from './attention'
import { copySlots } from './cache'
import { embed } from './embed'
import { generate } from './generate'
import { gateUp, matmul } from './matmul'
import { addRow, addWeighted, rmsNorm } from './norm'
import { quantizeRows } from './quantize'
import { maddRounds, read } from './roofs'
import { rotateAppend } from './rope'

// @ts-ignore: decorator
@inline
function u(index: usize): u32 {
  return load<u32>(ARGUMENTS + index * 4)
}

// @ts-ignore: decorator
@inline
function f(index: usize): f32 {
  return load<f32>(ARGUMENTS + index * 4)
}

/** Runs units [from, to) of the job that stands in the control block. `thread` picks the scratch area, 0 is the leader's. */
export function execute(thread: u32, from: u32, to: u32): void {
  switch (load<u32>(KERNEL)) {
    case EMBED: return embed(u(0), u(1), u(2), u(3), u(4), u(5), u(6), u(7), from, to)
    case RMS_NORM: return rmsNorm(u(0), u(1), u(2), u(3), u(4), f(5), from, to)
    case MATMUL: return matmul(u(0), u(1), u(2), u(3), u(4), u(5), u(6), u(7) != 0, u(8), u(9), u(10), u(11), u(12), u(13) + thread * u(14), from, to)
    case ROTATE_APPEND: return rotateAppend(u(0), u(1), u(2), u(3), u(4), u(5), u(6), u(7), u(8), u(9), u(10), u(11), f(12), u(13), from, to)
    case ATTEND: return attend(u(0), u(1), u(2), u(3), u(4), u(5), u(6), u(7), u(8), u(9), u(10), u(11), u(12), u(13) + thread * u(14), from, to)
    case MERGE: return merge(u(0), u(1), u(2), u(3), u(4), u(5), u(6) + thread * u(7), from, to)
    case COPY_SLOTS: return copySlots(u(0), u(1), u(2), u(3), u(4), u(5), u(6), from, to)
    case SWIGLU: return gateUp(u(0), u(1), u(2), u(3), u(4), u(5), u(6), u(7), u(8), u(9), u(10), u(11), u(12) + thread * u(13), from, to)
    case GENERATE: return generate(u(0), u(1), u(2), u(3), f(4), u(5), u(6), from, to)
    case QUANTIZE: return quantizeRows(u(0), u(1), u(2), u(3), u(4), u(5), from, to)
    case ADD_ROW: return addRow(u(0), u(1), u(2), u(3), from, to)
    case ADD_WEIGHTED: return addWeighted(u(0), u(1), u(2), u(3), from, to)
    case READ: return read(u(0), u(1), u(2) + thread * 64, from, to)
    case MADD: return maddRounds(u(0) + thread * 64, from, to)
    default: unreachable()
  }
}

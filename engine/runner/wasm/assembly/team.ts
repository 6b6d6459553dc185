import { DONE, FAILED, GRAIN, LEADER_ASLEEP, QUIT, SLEEPERS, TICKET, UNITS } from '../jobs'
import { execute } from './execute'

/**
 * Threads that share one job. The leader writes the job, opens it by storing a ticket (number of the job,
 * next unit 0) and works on it like everybody; each claims a few units at a time by counting the ticket up.
 * A helper that the system has put aside therefore holds up nobody but for the units it is at.
 *
 * A claim succeeds only while the ticket is open and carries the job's number, and the leader writes the
 * next job only after every unit of this one is done and the ticket is closed: nobody runs a job with
 * another's arguments.
 */

/** Looks at a word this often, some tens of microseconds, before sleeping. */
const SPINS: u32 = 20000
/** Sleeps of 100 ms without any progress after which a helper counts as lost: a minute. */
const PATIENCE: u32 = 600
const NAP: i64 = 100_000_000
/** In the lower half of a ticket: nothing to claim. */
const CLOSED: u64 = 0xffffffff

// @ts-ignore: decorator
@inline
function work(thread: u32, job: u32): void {
  const units = load<u32>(UNITS)
  const grain = load<u32>(GRAIN)
  for (;;) {
    const ticket = atomic.load<u64>(TICKET)
    const next = <u32>ticket
    if (<u32>(ticket >> 32) != job || next >= units) return
    const to = min(next + grain, units)
    if (atomic.cmpxchg<u64>(TICKET, ticket, (<u64>job << 32) | to) != ticket) continue
    execute(thread, next, to)
    const finished = atomic.add<u32>(DONE, to - next) + (to - next)
    if (finished == units && atomic.load<u32>(LEADER_ASLEEP)) atomic.notify(DONE, 1)
  }
}

/**
 * Runs the job in the control block with all helpers. False: a helper is lost (it trapped, or did not
 * finish its units). `mayBlock` is false on a browser's main thread, which must not sleep.
 */
export function lead(mayBlock: bool): bool {
  const units = load<u32>(UNITS)
  const job = <u32>(atomic.load<u64>(TICKET) >> 32) + 1
  atomic.store<u32>(DONE, 0)
  atomic.store<u64>(TICKET, <u64>job << 32)
  if (atomic.load<u32>(SLEEPERS)) atomic.notify(TICKET + 4, -1)
  work(0, job)
  const complete = finish(units, mayBlock)
  atomic.store<u64>(TICKET, (<u64>job << 32) | CLOSED)
  return complete
}

/** Waits until all units are done. */
function finish(units: u32, mayBlock: bool): bool {
  let spins: u32 = 0
  let naps: u32 = 0
  while (naps < PATIENCE) {
    const done = atomic.load<u32>(DONE)
    if (done == units) return true
    if (atomic.load<u32>(FAILED)) return false
    if (++spins < SPINS || !mayBlock) continue
    atomic.store<u32>(LEADER_ASLEEP, 1)
    const woken = atomic.wait<u32>(DONE, done, NAP)
    atomic.store<u32>(LEADER_ASLEEP, 0)
    naps = woken == AtomicWaitResult.TIMED_OUT ? naps + 1 : 0
  }
  return false
}

/** A helper's whole life: takes part in job after job until QUIT is set. */
export function help(thread: u32): void {
  let job = <u32>(atomic.load<u64>(TICKET) >> 32)
  for (;;) {
    let spins: u32 = 0
    while (<u32>(atomic.load<u64>(TICKET) >> 32) == job) {
      if (++spins < SPINS) continue
      atomic.add<u32>(SLEEPERS, 1)
      atomic.wait<u32>(TICKET + 4, job, -1)
      atomic.sub<u32>(SLEEPERS, 1)
    }
    if (atomic.load<u32>(QUIT)) return
    job = <u32>(atomic.load<u64>(TICKET) >> 32)
    work(thread, job)
  }
}

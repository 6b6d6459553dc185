import * as Comlink from 'comlink'
import type { Machine } from '../cost/machine'
import type { Trace } from '../trace/trace'
import { outcome, type Outcome } from './outcome'
import type { Curve, CurveRequest, Simulated, SimulateRequest, Workload } from './protocol'
import { Simulator } from './simulator'
import { serveVirtually, type BorrowedText } from './virtual'
import { yieldThread } from './yield'

/** Virtual time has a worker of its own: a live step of 60 ms would be 60 ms in which no drag is heard. */
export interface SimulatorApi {
  simulate(id: number, request: SimulateRequest, listen: (soFar: Simulated) => void): Promise<Outcome<Simulated>>
  curve(id: number, request: CurveRequest, listen: (soFar: Curve) => void): Promise<Outcome<Curve>>
  serve(id: number, workload: Workload, machine: Machine, texts: (BorrowedText | undefined)[]): Promise<Outcome<Trace>>
  hold(on: boolean): void
  abort(id: number): void
}

const simulator = new Simulator({ yieldThread })
const tasks = new Map<number, AbortController>()

const api: SimulatorApi = {
  simulate: (id, request, listen) => task(id, (signal) => simulator.simulate(request, { signal, onUpdate: (soFar) => void listen(soFar) })),
  curve: (id, request, listen) => task(id, async (signal) => {
    // The answer must not overtake the last update.
    let delivered: unknown
    const curve = await simulator.curve(request, { signal, onUpdate: (soFar) => void (delivered = listen(soFar)) })
    await delivered
    return curve
  }),
  serve: (id, workload, machine, texts) => task(id, (signal) => serveVirtually(workload, machine, { signal, yieldThread, borrow: (i) => texts[i] })),
  hold: (on) => simulator.hold(on),
  abort: (id) => tasks.get(id)?.abort(),
}

function task<T>(id: number, run: (signal: AbortSignal) => Promise<T>): Promise<Outcome<T>> {
  const controller = new AbortController()
  tasks.set(id, controller)
  return outcome(() => run(controller.signal).finally(() => tasks.delete(id)))
}

Comlink.expose(api)

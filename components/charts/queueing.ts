/**
 * Time in an M/M/1 system that a share q of the requests stays below, in units of `service` (mean service
 * time): exponential with rate (1 − load) / service (Kleinrock 1975). Infinity from a load of 1 on.
 */
export function mm1Quantile(load: number, service: number, q: number): number {
  return load < 1 ? (service * Math.log(1 / (1 - q))) / (1 - load) : Infinity
}

/** Mean wait in an M/G/1 queue, by the coefficient of variation of the service time (Pollaczek–Khinchine). */
export function mg1Wait(load: number, service: number, cv: number): number {
  return load < 1 ? (service * load * (1 + cv * cv)) / (2 * (1 - load)) : Infinity
}

import type { Runtime } from "../packages/ovm/src/runtime/interfaces.ts"

/** A daemon, and when each of its machines runs. */
export interface Watched {
  readonly runtime: Runtime
  /** Settles once that instance runs; fails if it has failed. */
  runs(id: string): Promise<void>
}

/** The daemon tells what becomes of its machines: asking for twenty of them again and again takes the same cores. */
export async function watched(runtime: Runtime, signal: AbortSignal): Promise<Watched> {
  const told = new Map<string, PromiseWithResolvers<void>>()
  const of = (id = "") => {
    const one = told.get(id) ?? Promise.withResolvers<void>()
    told.set(id, one)
    return one
  }
  const events = await runtime.events({ follow: true, signal })
  const listen = async () => {
    for await (const { type, instance_id } of events) {
      if (type === "running") of(instance_id).resolve()
      if (type === "failed") of(instance_id).reject(new Error(`the machine ${instance_id} has failed`))
    }
  }
  listen().catch(() => {})
  return { runtime, runs: (id) => of(id).promise }
}

/** Starts one, and waits until it runs: its id, and milliseconds since the request. */
export async function running(
  { runtime, runs }: Watched,
  manifest: string,
): Promise<{ id: string; took: number }> {
  const began = performance.now()
  const { instance_id: id, status } = await runtime.start({ manifest })
  if (status !== "running") await runs(id)
  return { id, took: performance.now() - began }
}

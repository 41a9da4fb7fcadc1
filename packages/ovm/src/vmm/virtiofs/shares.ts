import { toOvmError } from "../../errors.ts"
import type { ShareServer } from "../machine.ts"
import type { LaunchPlan, SharePlan } from "../plan.ts"
import { canServe, findVirtiofsd } from "./program.ts"
import { type ServedFolder, serveFolder } from "./server.ts"

/** Those of a machine's shares that virtiofs serves, in order, and why others are not that could be. */
export interface ServedShares extends Disposable {
  readonly vmmEnds: readonly number[]
  readonly servers: readonly ShareServer[]
  readonly failure?: string
}

/** Starts what serves those shares of `plan`, `most` of them, that can be served so; what cannot is left to 9p. */
export async function serveShares(
  { shares = [], directory }: LaunchPlan,
  { most, accelerator }: { readonly most: number; readonly accelerator: string },
): Promise<ServedShares> {
  const program = findVirtiofsd(accelerator)
  const wanted =
    program === undefined || shares.length > most ? [] : shares.filter((share) => canServe(share))
  const answers = await Promise.allSettled(wanted.map((share) => served(program ?? "", share, directory)))
  const done = answers.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []))
  const failed = answers.find((one) => one.status === "rejected")
  return {
    vmmEnds: done.map(({ folder }) => folder.vmmEnd),
    servers: done.map(({ tag, folder }) => ({ ...folder.server, tag })),
    ...(failed && { failure: toOvmError(failed.reason).message }),
    [Symbol.dispose]: () => {
      for (const { folder } of done) folder[Symbol.dispose]()
    },
  }
}

async function served(
  program: string,
  share: SharePlan,
  directory: string,
): Promise<{ readonly tag: string; readonly folder: ServedFolder }> {
  return { tag: share.tag, folder: await serveFolder(program, share, directory) }
}

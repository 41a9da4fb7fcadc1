import type { AllowedNow } from "./allowed-now.ts"
import { ruleText } from "./filter.ts"
import { openRules } from "./rules.ts"

/** What the filter answers in lines; undefined where there is none. */
export type Ask = (request: string) => Promise<readonly string[] | undefined>

/** Has the filter of a machine let through what its list stands for by now (packages/filter/src/asks.c). */
export class FilterReach {
  /** As it was told. */
  #told: ReadonlySet<string> = new Set()

  constructor(
    private readonly allowed: AllowedNow,
    private readonly ask: Ask,
  ) {}

  /** Names are resolved, and the filter told of what has changed. False once there is none any more. */
  async renew(): Promise<boolean> {
    await this.allowed.renew()
    const now = new Set(openRules(this.allowed.networks).map(ruleText))
    const told = new Set(this.#told)
    this.#told = told
    // What is new first: there may be no room for it otherwise than by what is refused, and then it is tried again.
    for (const rule of now.difference(told)) {
      const said = await this.ask(`allow ${rule}`)
      if (!said) return false
      if (said.at(-1) === "ok") told.add(rule)
    }
    for (const rule of told.difference(now)) {
      if (!(await this.ask(`refuse ${rule}`))) return false
      told.delete(rule)
    }
    return true
  }
}

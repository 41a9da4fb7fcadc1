import type { Digest } from "../../content/digest.ts"
import type { Call } from "../../content/interfaces.ts"
import { type OvmError, toOvmError } from "../../errors.ts"
import type { EvidenceSource, Verdicts } from "../interfaces.ts"
import type { Asked, PolicyJudgement } from "./decision.ts"
import { ABSENT, fileIdentity } from "./file.ts"
import { refusedBy } from "./refused.ts"
import { type Rules, rulesForSnapshots } from "./rules.ts"
import { chooseScope, type Name } from "./scope.ts"

/** Admissions that are remembered; more than a host starts different images. */
const REMEMBERED = 4096

/** What the policy files said when they were last looked at, and what was admitted by that. */
interface State {
  /** The policy file and all that it names, each as it was before it was read. */
  readonly seen: ReadonlyMap<string, string>
  /** Absent where there is no policy. */
  readonly rules?: Rules
  readonly failure?: OvmError
  /** By reference and digests: what `admit` answered, until it expires. */
  readonly admitted: Map<string, PolicyJudgement>
}

export interface PolicyInfo {
  /** Path of the file, be it there or not. */
  readonly file: string
  readonly active: boolean
  readonly error?: OvmError
}

/**
 * The policy of this host (spec/policy.md): one file, which is looked at anew with every question and read again when
 * it, or a file that it names, has changed. One for each process: what was admitted is remembered in it.
 */
export class Policy {
  #state: State | undefined

  /** `file` need not be there. `verdicts` is what judges evidence. */
  constructor(
    readonly file: string,
    private readonly verdicts: Verdicts = verdictsOnDemand,
  ) {}

  /** Whether there is a policy. Throws OVM_POLICY_INVALID. */
  async check(): Promise<{ readonly active: boolean }> {
    const { rules } = await this.#current()
    return { active: rules !== undefined }
  }

  /** Whether snapshots of that name run on evidence about them, and on nothing less. Throws OVM_POLICY_INVALID. */
  async needsEvidence(name: Name): Promise<boolean> {
    const { rules } = await this.#current()
    if (!rules) return false
    const held = rulesForSnapshots(chooseScope(rules, name).scope) ?? []
    return held.some(({ type }) => type === "signed" || type === "attested")
  }

  /**
   * What `ovm info` reports: the file, and whether there is a policy. One that cannot be read counts as active, with
   * its error. Throws nothing.
   */
  async info(): Promise<PolicyInfo> {
    try {
      return { file: this.file, ...(await this.check()) }
    } catch (thrown) {
      return { file: this.file, active: true, error: toOvmError(thrown) }
    }
  }

  /**
   * Whether `admit` let just this pass before, by files that have not changed since, and so recently that it is still
   * true. Not asynchronous: between this and a start nothing can happen.
   */
  isAdmitted(reference: string, machine: Digest, snapshot?: Digest): boolean {
    return this.#remembered(keyOf(reference, machine, snapshot)) !== undefined
  }

  /**
   * Holds what is asked for against the policy and explains. Remembers nothing. Throws OVM_POLICY_INVALID, and what
   * reading evidence throws.
   */
  async decide(asked: Asked, source: EvidenceSource, call: Call = {}): Promise<PolicyJudgement> {
    return this.#judge(await this.#current(), asked, source, call)
  }

  /**
   * Judges as `decide` does, and refuses: throws OVM_POLICY_REFUSED with every rule as `detail`, or without a policy
   * what is wrong with a signature. What was admitted under the same name and digest is not looked at again.
   */
  async admit(asked: Asked, source: EvidenceSource, call: Call = {}): Promise<PolicyJudgement> {
    const key = keyOf(asked.reference, asked.machine.digest, asked.snapshot?.digest)
    // What an index vouched for is judged anew: by the same name another one may be found tomorrow.
    const before = asked.name && !asked.index && this.#remembered(key)
    if (before) return before
    const state = await this.#current()
    const judgement = await this.#judge(state, asked, source, call)
    if (!judgement.decision.allowed) throw refusedBy(judgement.decision)
    if (asked.name && !asked.index) remember(state, key, judgement)
    return judgement
  }

  async #judge({ rules }: State, asked: Asked, source: EvidenceSource, call: Call): Promise<PolicyJudgement> {
    const { file, verdicts } = this
    const options = { source, verdicts, now: Date.now(), ...(call.signal && { signal: call.signal }) }
    if (rules) return (await import("./judge.ts")).judge(rules, file, asked, options)
    return (await import("./unruled.ts")).judgeUnruled(asked, options)
  }

  #remembered(key: string): PolicyJudgement | undefined {
    const state = this.#state
    if (!state || state.failure || !isCurrent(state)) return undefined
    const found = state.admitted.get(key)
    return found && found.expires > Date.now() ? found : undefined
  }

  /** Throws OVM_POLICY_INVALID. */
  async #current(): Promise<State> {
    if (!this.#state || !isCurrent(this.#state)) this.#state = await load(this.file)
    if (this.#state.failure) throw this.#state.failure
    return this.#state
  }
}

async function load(file: string): Promise<State> {
  const admitted = new Map<string, PolicyJudgement>()
  if (fileIdentity(file) === ABSENT) return { seen: new Map([[file, ABSENT]]), admitted }
  const { loadPolicy } = await import("./load.ts")
  const seen = new Map<string, string>()
  try {
    return { seen, rules: await loadPolicy(file, seen), admitted }
  } catch (thrown) {
    return { seen, failure: toOvmError(thrown), admitted }
  }
}

function isCurrent({ seen }: State): boolean {
  return seen.entries().every(([path, identity]) => fileIdentity(path) === identity)
}

function remember({ admitted }: State, key: string, judgement: PolicyJudgement): void {
  if (judgement.expires <= Date.now()) return
  const [oldest] = admitted.keys()
  if (admitted.size >= REMEMBERED && oldest !== undefined) admitted.delete(oldest)
  admitted.set(key, judgement)
}

/** Booting a machine is one thing, and going on from RAM that it has another. */
function keyOf(reference: string, machine: Digest, snapshot: Digest | undefined): string {
  return `${machine} ${snapshot ?? ""} ${reference}`
}

const verdictsOnDemand: Verdicts = async function* (source, subject, options) {
  const { verdicts } = await import("../verdicts.ts")
  yield* verdicts(source, subject, options)
}

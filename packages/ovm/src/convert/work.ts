import type { Call } from "../content/interfaces.ts"
import { OvmError, toOvmError } from "../errors.ts"
import type { InPlace } from "./resources.ts"
import type { Workplace } from "./workplace.ts"

export interface TakeCall extends Call {
  /** Told how many bytes of the disk that is called `label` are written, of how many. */
  onFile?(label: string, done: number, total: number): void
  /** Of virtual CPUs and memory, what the user says. */
  readonly inPlace?: InPlace
}

/** The way from a source to disks: its files in the workplace, each with what it is called where something is said. */
export class Work {
  readonly #labels: [path: string, label: string][] = []

  constructor(
    private readonly place: Workplace,
    readonly call: TakeCall,
  ) {}

  /** The path of a file that is not there yet. */
  file(label: string): string {
    const path = this.place.file()
    this.called(path, label)
    return path
  }

  /** Has the file `path` called `label` in errors. */
  called(path: string, label: string): void {
    this.#labels.push([path, label])
  }

  /** What `use` gives; what it throws has labels in place of paths. */
  async labelled<T>(use: () => Promise<T>): Promise<T> {
    try {
      return await use()
    } catch (thrown) {
      const { code, message, detail, hint } = toOvmError(thrown)
      const words = this.#labels.reduce((text, [path, label]) => text.replaceAll(path, label), message)
      throw new OvmError(code, words, { cause: thrown, detail, ...(hint !== undefined && { hint }) })
    }
  }
}

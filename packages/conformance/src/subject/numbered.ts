import { spawn } from "node:child_process"
import { randomInt } from "node:crypto"
import { existsSync } from "node:fs"
import { setTimeout } from "node:timers/promises"
import { skip } from "../check.ts"
import { alive, signal, textOf } from "./processes.ts"

/** Where Linux has the number of the process that was made last, and takes another one from whoever may say so. */
const LAST = "/proc/sys/kernel/ns_last_pid"

/** On a busy host others come between, and leave the number free again or keep it. */
const ATTEMPTS = 200

/** Milliseconds for whoever has to wait for the process that had the number: an init may do so now and then alone. */
const UNTIL_FREE = 10_000

/** A process that does nothing, under a number that was chosen. */
export class Numbered {
  private constructor(
    private readonly pid: number,
    private readonly words: string,
  ) {}

  /** Begins one under a number; nothing where another has it. Skips where nobody may choose it. */
  static async begin(pid: number): Promise<Numbered | undefined> {
    const bound = Date.now() + UNTIL_FREE
    while (existsSync(`/proc/${pid}`) && Date.now() < bound) await setTimeout(50)
    // By so many digits of its time it is told from all others.
    const words = `300.${randomInt(2 ** 40)}`
    const script = `echo ${pid - 1} >${LAST} || exit; sleep ${words} >/dev/null 2>&1 & echo $!`
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const child = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] })
      let said = ""
      for await (const text of child.stdout) said += text
      const given = Number(said.trim())
      if (given === 0) skip("nobody may choose the number of a process on this host")
      const one = new Numbered(given, words)
      if (given === pid) return one
      one.end()
    }
    return undefined
  }

  get lives(): boolean {
    return alive([this.pid]).length > 0 && textOf(this.pid, "cmdline").includes(this.words)
  }

  end(): void {
    if (this.lives) signal([this.pid], "SIGKILL")
  }
}

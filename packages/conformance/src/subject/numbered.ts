import { spawn } from "node:child_process"
import { randomInt } from "node:crypto"
import { skip } from "../check.ts"
import { alive, signal, textOf } from "./processes.ts"

/** Where Linux has the number of the process that was made last, and takes another one from whoever may say so. */
const LAST = "/proc/sys/kernel/ns_last_pid"

/** On a busy host others are given the number first. */
const ATTEMPTS = 200

/** A process that does nothing, under a number that was chosen. */
export class Numbered {
  private constructor(
    private readonly pid: number,
    private readonly words: string,
  ) {}

  /** Begins one under a number that nobody has; skips where nobody may choose it. */
  static async begin(pid: number): Promise<Numbered> {
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
    skip("others were given the number each time")
  }

  get lives(): boolean {
    return alive([this.pid]).length > 0 && textOf(this.pid, "cmdline").includes(this.words)
  }

  end(): void {
    if (this.lives) signal([this.pid], "SIGKILL")
  }
}

import type { Command } from "commander"
import { useDaemon } from "../../daemon.ts"
import { nameFor } from "../../digits.ts"
import { hinted } from "../../hinted.ts"
import { interruptible } from "../../interrupt.ts"
import { print, printJson } from "../../output.ts"
import { parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"

interface WarmOptions {
  readonly slots: number
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .description(
      "Keep machines of a snapshot loaded and paused, so that a start of it takes about a millisecond. Each " +
        "takes memory as it goes on, up to what the daemon grants; a slot that was taken is made again. Later " +
        "daemons do the same, until --slots 0.",
    )
    .argument("<image>", "name of a snapshot on this host")
    .option("-n, --slots <count>", "how many; 0 ends it", (text) => parseCount(text, "--slots", 0), 1)
    .option("--json", "print JSON")
    .action(run)
  examples(
    command,
    "ovm warm debian:fastboot",
    "ovm warm debian:fastboot --slots 4",
    "ovm warm debian:fastboot -n 0",
  )
}

async function run(text: string, { slots, json }: WarmOptions): Promise<void> {
  const image = await nameFor(text)
  const answer = await interruptible(async (signal) =>
    (await useDaemon({ signal })).warm({ manifest: image, slots }, { signal }),
  ).catch((thrown: unknown) => {
    throw hinted(thrown, "OVM_TOO_MANY", GRANTED)
  })
  if (json) printJson(answer)
  else print(`${answer.ready} of ${answer.slots} ready\n`)
}

/** What ends machines frees none of what is granted to slots. */
const GRANTED =
  "take fewer --slots, or give back others: ovm info lists them, ovm warm NAME --slots 0 ends those of NAME; " +
  "limits.warmMemory of daemon.json grants more"

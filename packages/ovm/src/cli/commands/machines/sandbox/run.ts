import type { Command } from "commander"
import { sandboxOutput } from "../../../../api/client.ts"
import { OvmError, toOvmError } from "../../../../errors.ts"
import type { Runtime, SandboxAnswer, SandboxEnd, SandboxRequest } from "../../../../runtime/interfaces.ts"
import { useDaemon } from "../../../daemon.ts"
import { nameFor } from "../../../digits.ts"
import { defineCommandOptions, endAsInside, STATUSES } from "../../../exec-options.ts"
import { hinted } from "../../../hinted.ts"
import { interruptible } from "../../../interrupt.ts"
import { printBytes, printJson, warn } from "../../../output.ts"
import { platformOption } from "../../../platform-option.ts"
import { pullByPolicy, pullCall } from "../../../pull-policy.ts"
import { parseFileIn } from "../../../sandbox/files.ts"
import { type SandboxOptions, sandboxRequest } from "../../../sandbox/options.ts"
import { filesAt, type Output, parseOutput, placeOutput, refuseBadOutputs } from "../../../sandbox/outputs.ts"
import { parseAmple, parseSize } from "../../../size.ts"
import { examples } from "../../../terminal/examples.ts"
import { optionsUntil } from "../../../terminal/options-until.ts"

/** Of a command of which nothing is said, in s (spec/api/openapi.yaml). */
const TIMEOUT = 60

export function define(command: Command): void {
  const more = (text: string, before: readonly string[] = []) => [...before, text]
  command
    .description(
      "Run a command in a machine of its own: it is started, given files, and destroyed once the command has ended and " +
        "its results are here, or this command is. A snapshot of a machine with an agent goes on in milliseconds, an " +
        "image has to boot. The machine is connected to nothing unless told otherwise.\n" +
        `Exit status: ${STATUSES}`,
    )
    .argument("<image>", "name of a snapshot or image, or path of a manifest file, OCI layout or archive")
    .argument("<command...>", "the program and its arguments")
    .option(
      "-f, --file <path[:guest]>",
      "file or folder that goes in; without :GUEST to where it begins",
      more,
    )
    .option(
      "-o, --out <path[:host]>",
      "file or folder of the machine that comes out; without :HOST to .",
      more,
    )
    .option("--stdin", "have the command read standard input, all of it")
  defineCommandOptions(command, { usualTimeout: `${TIMEOUT}`, usualWait: "300" })
    .option(
      "--output-limit <size>",
      "so much is kept of output, of errors, and of what comes out; 8MiB unless told",
      (text) => parseSize(text, "--output-limit"),
    )
    .option("--memory <size>", "memory of a machine that boots", (text) => parseAmple(text, "--memory"))
    .addOption(
      command
        .createOption("--network <network>", "user: a network of its own that leads out; none unless told")
        .choices(["user", "none"]),
    )
    .option(
      "--allow-outbound <list>",
      "all that the guest may connect to: networks, addresses and names, each with :PORT or not; again for more",
      (text, before: readonly string[] = []) => [...before, ...text.split(",")],
    )
  platformOption(command)
    .option("--json", "print JSON: how it ended, what it wrote, and how long each phase took")
    .action(run)
  optionsUntil(command, 2)
  examples(
    command,
    "ovm sandbox run python:ready -- python3 -c 'print(1 + 1)'",
    "ovm sandbox run -w /work -f sum.py -o result.txt python:ready -- python3 sum.py",
    "ovm sandbox run --stdin --timeout 5 python:ready -- sort <words",
  )
}

async function run(text: string, command: readonly string[], options: SandboxOptions): Promise<void> {
  const { timeout = TIMEOUT, workdir = "/" } = options
  await endAsInside(
    async () => {
      const outputs = (options.out ?? []).map((one) => parseOutput(one, workdir))
      const files = (options.file ?? []).map((one) => parseFileIn(one, workdir))
      await refuseBadOutputs(outputs)
      const image = await nameFor(text)
      const request = await sandboxRequest(image, command, { files, outputs, options })
      const end = await interruptible(async (signal) => {
        await pullByPolicy(image, "missing", pullCall(options, signal))
        return await ended(await useDaemon({ signal }), request, { signal, json: options.json ?? false })
      }).catch((thrown) => {
        throw hinted(thrown, "OVM_UNSUPPORTED", NO_AGENT)
      })
      if (end.started_from === "image")
        warn(`${text} is no snapshot: its machine had to boot; one of ovm snapshot goes on in milliseconds`)
      await take(outputs, end)
      return end
    },
    { timeout, json: options.json ?? false },
  )
}

const NO_AGENT =
  "a snapshot of a machine that was started with --agent has one: ovm run -d --agent, ovm snapshot"

async function ended(
  runtime: Runtime,
  request: SandboxRequest,
  { signal, json }: { readonly signal: AbortSignal; readonly json: boolean },
): Promise<SandboxEnd> {
  if (json) {
    const answer = await runtime.sandbox(request, { signal })
    printJson(shown(answer))
    return answer
  }
  const pieces = sandboxOutput(await runtime.sandboxStream(request, { signal }))
  for (;;) {
    const next = await pieces.next()
    if (!next.done) await printBytes(next.value.bytes, next.value.channel)
    else {
      if (next.value.truncated) warn("the command has written more than was kept (--output-limit)")
      return next.value
    }
  }
}

/** What is written to files is told by its name alone. */
function shown({ files, ...answer }: SandboxAnswer): object {
  return { ...answer, files: files.map(({ path, mode }) => ({ path, mode })) }
}

/**
 * Writes what came, each whatever becomes of the others. Throws the first of what could not be had or written, if the
 * command itself ended well.
 */
async function take(outputs: readonly Output[], { files, failed, exit_code }: SandboxEnd): Promise<void> {
  const errors = failed.map(({ error }) => new OvmError(error.code, error.message))
  for (const output of outputs) {
    if (failed.some(({ path }) => path === output.guest)) continue
    await placeOutput(output, filesAt(output.guest, files)).catch((thrown) => errors.push(toOvmError(thrown)))
  }
  for (const { code, message } of errors.slice(exit_code === 0 ? 1 : 0)) warn(`${code}: ${message}`)
  const [first] = errors
  if (first && exit_code === 0) throw first
}

import { readFile } from "node:fs/promises"
import { TYPE } from "../../agent/frame.ts"
import { type Check, must, skip } from "../../check.ts"
import { utf8 } from "../../registry/content.ts"
import { type Agent, shell } from "../../subject/agent.ts"
import { hostPlan, lives } from "./plan.ts"

const FOLDER_OF_PROGRAMS = /^PATH=.*\/bin(:|$)/
const UNKNOWN_USER = 54_321

/** Those that have a name; what is above them is the library's. */
const SIGNALS = (1n << 31n) - 1n

const alive = (pid: number) => lives(pid, (path) => readFile(path, "latin1"))

/** What a command finds around it, and what becomes of what it leaves. */
export const agentSurroundingPlans: readonly Check<Agent>[] = [
  hostPlan("surroundings", ["OVMS-AGT-031"], async ({ host, folder }) => {
    const said = await host.run(
      ...shell("pwd; echo $SUITE; ls -l /proc/$$/fd"),
      `directory=${folder}`,
      "variable=SUITE=a=b c",
    )
    const [directory, variable] = said.out.split("\n")
    must(directory === folder && variable === "a=b c", `it runs in ${directory}, with SUITE=${variable}`)
    must(!said.out.includes("socket:"), "a command has the agent's channel open")
    const plain = await host.run(...shell("pwd"))
    must(plain.out === "/\n", `a command that says no directory runs in ${plain.out}`)
    const words = ["", "a b", "=", "", ...Array.from({ length: 500 }, (_, at) => `${at}`)]
    const { out } = await host.run(
      ...shell('for one; do echo "<$one>"; done', "argument=sh", ...words.map((word) => `argument=${word}`)),
    )
    const wanted = words.map((word) => `<${word}>\n`).join("")
    must(out === wanted, `of the arguments ${JSON.stringify(words)} it has ${out}`)
    const { out: status } = await host.run("argument=/bin/cat", "argument=/proc/self/status")
    for (const [kind, what] of [
      ["SigIgn", "ignored"],
      ["SigBlk", "blocked"],
    ] as const) {
      const [, mask = "0"] = new RegExp(`^${kind}:\\s*(\\w+)$`, "m").exec(status) ?? []
      must((BigInt(`0x${mask}`) & SIGNALS) === 0n, `it has signals that are ${what}: ${mask}`)
    }
    if (process.getuid?.() !== 0) return
    const user = await host.run(...shell("id -u; id -g"), "user=65534:65533")
    must(user.out === "65534\n65533\n", `it runs as ${user.out.trim()}`)
  }),
  hostPlan("environment", ["OVMS-AGT-134"], async ({ host }) => {
    const environment = async (...words: readonly string[]) =>
      (await host.run("argument=env", ...words)).out.trimEnd().split(/\r?\n/).sort()
    const [home, path = "", suite, user, ...more] = await environment("variable=SUITE=a=b c")
    must(home?.startsWith("HOME=/") && user === "USER=root", `of root it has ${home} and ${user}`)
    must(FOLDER_OF_PROGRAMS.test(path) && suite === "SUITE=a=b c", `it has ${path} and ${suite}`)
    must(more.length === 0, `it has what nobody asked for: ${more.join(", ")}`)
    const own = await environment(
      "variable=HOME=/own",
      "variable=USER=own",
      "variable=PATH=/own/bin:/usr/bin:/bin",
    )
    must(
      own.join() === "HOME=/own,PATH=/own/bin:/usr/bin:/bin,USER=own",
      `what was asked for is ${own.join()}`,
    )
    const onTerminal = (await environment("terminal=24x80")).map((one) => one.split("=")[0])
    must(onTerminal.join() === "HOME,PATH,TERM,USER", `on a terminal it has ${onTerminal.join()}`)
    if (process.getuid?.() !== 0) return
    const [line = ""] = (await readFile("/etc/passwd", "utf8")).match(/^nobody:.*$/m) ?? []
    if (line !== "") {
      const [name, , uid, , , folder] = line.split(":")
      const other = (await environment(`user=${name}`)).filter((one) => !one.startsWith("PATH="))
      must(other.join() === `HOME=${folder},USER=${name}`, `of ${name} it has ${other.join()}`)
      const { out } = await host.run(...shell("id -u"), `user=${name}`)
      must(out === `${uid}\n`, `as ${name} it runs as ${out}`)
    }
    const unknown = (await environment(`user=${UNKNOWN_USER}`)).filter((one) => !one.startsWith("PATH="))
    must(unknown.join() === "HOME=/", `a user that is not known has ${unknown.join()}`)
  }),
  hostPlan("groups", ["OVMS-AGT-135"], async ({ host }) => {
    if (process.getuid?.() !== 0) skip("the suite is not root, so that its agent can take no other user")
    const groups = async (user: string) => (await host.run(...shell("id -u; id -G"), `user=${user}`)).out
    const given = await groups("65534:65533")
    must(given === "65534\n65533\n", `with a group that is given it is ${given}`)
    const [, group, id] = /^([a-z][^:]*):[^:]*:([1-9]\d*):/m.exec(await readFile("/etc/group", "utf8")) ?? []
    if (group !== undefined) {
      const named = await groups(`65534:${group}`)
      must(named === `65534\n${id}\n`, `with the group ${group} it is ${named}`)
    }
    const unknown = await groups(String(UNKNOWN_USER))
    must(unknown === `${UNKNOWN_USER}\n0\n`, `a user that is not known is ${unknown}`)
    const { out } = await host.run(...shell('[ "$(id -G)" = "$(id -G root)" ] && echo same'))
    must(out === "same\n", "root is not in the groups that its host knows it in")
  }),
  hostPlan("terminal", ["OVMS-AGT-032"], async ({ host }) => {
    const stream = host.open("exec", ...shell("stty size; read x; stty size"), "terminal=310x970")
    await host.until("it says its size", () => host.output(stream).includes("310 970"))
    const size = Buffer.alloc(4)
    size.writeUInt16LE(50, 0)
    size.writeUInt16LE(132, 2)
    host.say(TYPE.window, stream, size)
    host.say(TYPE.data, stream, utf8("\n"))
    await host.exit(stream)
    must(host.output(stream).includes("50 132"), "the terminal has the size of before")
  }),
  hostPlan("session-of-its-own", ["OVMS-AGT-031"], async ({ host }) => {
    const own = await host.run(...shell("echo seen > /dev/tty"), "terminal=24x80")
    must(own.value === 0 && own.out.includes("seen"), "its terminal is not that of its session")
    const without = await host.run(...shell("cat"))
    must(without.value === 0 && without.out === "", "a command without input finds some")
  }),
  hostPlan("left-behind", ["OVMS-AGT-035", "OVMS-AGT-136"], async ({ host }) => {
    const { out, value } = await host.run(...shell("sleep 300 & echo $!; head -c 200000 /dev/zero; exit 8"))
    const [line = ""] = out.split("\n")
    const left = Number(line)
    const zeros = out.length - line.length - 1
    must(value === 8 && zeros === 200_000, `${zeros} bytes came before the EXIT, and not 200000`)
    try {
      must(await alive(left), "what a command has left behind was ended with it")
      await host.hello()
      // The answer to what comes later is behind all that HELLO has done.
      await host.run(...shell("true"))
      must(await alive(left), "what a command has left behind was ended at HELLO")
    } finally {
      if (await alive(left)) process.kill(left, "SIGKILL")
    }
  }),
]

import { chmod, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

// Everything that a run of the tests makes lies below one folder, which has the TMPDIRs of its children: so whatever is
// left of it, processes too, can be found and removed, by itself or by the next run.

const PREFIX = "ovm-run-"
/** Beside the folder of temporary files: whose it is. */
const OWNER = "owner"
/** Of the environment, what says where a process has its files. */
const PLACES = ["TMPDIR", "HOME", "OVM_HOME"]

/** A folder for this run, after what dead runs have left was removed; its children's TMPDIRs are to be below it. */
export async function openRunFolder(parent = tmpdir()): Promise<string> {
  for (const name of await readdir(parent)) if (name.startsWith(PREFIX)) await sweep(join(parent, name))
  const root = await mkdtemp(join(parent, PREFIX))
  await writeFile(join(root, OWNER), await identityOf(process.pid))
  // A test that runs something as another user has its folder below.
  await chmod(root, 0o711)
  return root
}

/** Ends all that has its place below `root`, and removes it. Gives the commands that had to be ended. */
export async function removeRunFolder(root: string): Promise<string[]> {
  const ended: string[] = []
  // One that is ended may have started another meanwhile.
  for (let found = await processesOf(root); found.length > 0; found = await processesOf(root)) {
    for (const { pid, command } of found) {
      ended.push(command)
      try {
        process.kill(pid, "SIGKILL")
      } catch {
        // It has just gone.
      }
    }
    await Bun.sleep(20)
  }
  await unmountBelow(root)
  await rm(root, { recursive: true, force: true })
  return ended
}

/** File systems that a test has mounted and was ended before it could let go of. */
async function unmountBelow(root: string): Promise<void> {
  const mounts = (await readFile("/proc/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "")
  for (const path of mounts.filter((path) => path.startsWith(`${root}/`)).reverse())
    Bun.spawnSync(["umount", "-l", path])
}

async function sweep(root: string): Promise<void> {
  const owner = await readFile(join(root, OWNER), "utf8").catch(() => undefined)
  const { pid } = /^(?<pid>\d+) /.exec(owner ?? "")?.groups ?? {}
  // Without an owner it may have been made a moment ago.
  if (pid === undefined ? !(await isOld(root)) : (await identityOf(Number(pid))) === owner) return
  const ended = await removeRunFolder(root)
  console.log(
    `removed what a dead run left: ${root}${ended.map((command) => `\n  ended: ${command}`).join("")}`,
  )
}

async function isOld(root: string): Promise<boolean> {
  const found = await stat(root).catch(() => undefined)
  return found !== undefined && Date.now() - found.mtimeMs > 60_000
}

/** Pid, start and boot of a process that is there: what no other one has. */
async function identityOf(pid: number): Promise<string> {
  const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim()
  const { start = "gone" } = await statOf(pid)
  return `${pid} ${start} ${boot}\n`
}

/** From proc(5), stat: state, terminal and start. Nothing if it is gone. */
async function statOf(pid: number): Promise<{ state?: string; terminal?: string; start?: string }> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
  const [state, , , , terminal, ...rest] = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const start = rest[14]
  return start === undefined ? {} : { state: state ?? "", terminal: terminal ?? "", start }
}

async function processesOf(root: string): Promise<{ pid: number; command: string }[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(pids.map(async (pid) => ((await belongs(pid, root)) ? [pid] : [])))
  return Promise.all(
    found.flat().map(async (pid) => {
      const words = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")
      return { pid, command: words.replaceAll("\0", " ").slice(0, 200) }
    }),
  )
}

async function belongs(pid: number, root: string): Promise<boolean> {
  if (pid === process.pid) return false
  const { state, terminal } = await statOf(pid)
  if (state === undefined || state === "Z") return false
  const below = (path: string) => path === root || path.startsWith(`${root}/`)
  const environment = (await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")).split("\0")
  if (
    PLACES.some((name) =>
      environment.some((one) => one.startsWith(`${name}=`) && below(one.slice(name.length + 1))),
    )
  )
    return true
  // Not the shell of somebody who looks around there.
  return terminal === "0" && below(await readlink(`/proc/${pid}/cwd`).catch(() => ""))
}

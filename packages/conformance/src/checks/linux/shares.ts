import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { must } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { inside, type Linux, output } from "./stage.ts"

const SECRET = "not for guests"

type Sharing = Instance & {
  readonly shares?: readonly { readonly mounted: boolean; readonly type?: string; readonly reason?: string }[]
}

/** The folders of this host that a Linux is given, one with links that lead out of it. */
export async function folders(folder: string) {
  const [work, given, outside] = ["work", "given", "outside"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  for (const one of [work, given, outside]) await mkdir(one)
  await writeFile(join(outside, "secret"), SECRET)
  await symlink(join(outside, "secret"), join(given, "link"))
  await symlink("../outside", join(given, "up"))
  await writeFile(join(given, "file"), "of the host\n")
  const shares = [
    { source: work, target: "/srv/suite/own" },
    { source: given, target: "/srv/suite/given", readOnly: true },
  ]
  return { work, given, outside, shares }
}

type Folders = Awaited<ReturnType<typeof folders>>

/** What mounts them, and how. */
export async function mountedAsTold(linux: Linux): Promise<void> {
  const { runtime, id } = linux
  const { shares = [] } = (await runtime.status(id)) as Sharing
  for (const { mounted, reason } of shares) must(mounted, `a share is not mounted: ${reason}`)
  const mounts = await output(linux, "grep /srv/suite/ /proc/mounts")
  for (const [at, target] of ["/srv/suite/own", "/srv/suite/given"].entries()) {
    const [, type, words = ""] = new RegExp(` ${target} (\\S+) (\\S+)`).exec(mounts) ?? []
    must(type === shares[at]?.type, `${target} is mounted by ${type}, and said to be by ${shares[at]?.type}`)
    const options = words.split(",")
    for (const option of ["nodev", "nosuid", at === 0 ? "rw" : "ro"])
      must(options.includes(option), `${target} is mounted without ${option}: ${words}`)
  }
}

/** No name and no link leads out of a folder, and what is done there is done as this user. */
export async function nothingLeadsOut(linux: Linux, { work, outside }: Folders): Promise<void> {
  await symlink(outside, join(work, "planted"))
  const said = await inside(
    linux,
    `cd /srv/suite/given; cat link up/secret; ln -s ${outside} ../own/away; cat ../own/away/secret
    cat ../own/planted/secret; echo x >../own/planted/new; cat ../own/../../../..${outside}/secret
    echo changed >file; echo new >more; chmod 600 file; mkdir -p ../own/made; echo of the guest >../own/made/file`,
  )
  must(!`${said.stdout}${said.stderr}`.includes(SECRET), "a guest reads what is not in the folder")
  const there = await stat(join(outside, "new")).catch(() => undefined)
  must(there === undefined, "a guest writes where a link leads")
  const made = await stat(join(work, "made/file"))
  must(made.uid === process.getuid?.(), `what the guest made is of the user ${made.uid}`)
}

/** What one side has written and closed the other one finds a second later. */
export async function bothSeeTheSame(linux: Linux, { work, given }: Folders): Promise<void> {
  const later = () => new Promise((resolve) => setTimeout(resolve, 1000))
  await output(linux, "echo from inside >/srv/suite/own/both; cat /srv/suite/given/file")
  await later()
  must(
    (await readFile(join(work, "both"), "utf8")) === "from inside\n",
    "the host does not find what was written",
  )
  await writeFile(join(work, "both"), "from outside, and longer\n")
  await writeFile(join(given, "file"), "of the host, changed\n")
  await later()
  const found = await output(linux, "cat /srv/suite/own/both /srv/suite/given/file")
  must(found === "from outside, and longer\nof the host, changed", `the guest finds ${JSON.stringify(found)}`)
}

/** What is shared to be read only is as it was, whatever the guest mounts it as. */
export async function staysAsItIs(linux: Linux, { given }: Pick<Folders, "given">): Promise<void> {
  const state = async () => {
    const { mode, mtimeMs } = await stat(join(given, "file"))
    const names = (await readdir(given)).sort().join()
    return `${names}, ${mode.toString(8)}, ${mtimeMs}, ${await readFile(join(given, "file"), "utf8")}`
  }
  const before = await state()
  const writes = "echo changed >file; echo new >more; mkdir made; chmod 600 file; touch file; rm -f link"
  await inside(
    linux,
    `line=$(grep ' /srv/suite/given ' /proc/mounts) && set -- $line && tag=$1 type=$3
    options=$(echo "$4" | sed 's/^ro,/rw,/')
    mount -o remount,rw /srv/suite/given; (cd /srv/suite/given && ${writes})
    umount /srv/suite/given; mount -t "$type" -o "$options" "$tag" /srv/suite/given
    (cd /srv/suite/given && ${writes}); mount -o remount,ro /srv/suite/given`,
  )
  const now = await state()
  must(now === before, `a guest changed what it may only read: ${before} became ${now}`)
}

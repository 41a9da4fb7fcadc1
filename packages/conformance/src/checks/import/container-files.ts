import { spawnSync } from "node:child_process"
import { mkdir, readdir } from "node:fs/promises"
import { basename, join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { type Check, must, skip } from "../../check.ts"
import type { Ext4 } from "../../disk/ext4.ts"
import type { TarEntry } from "../../foreign/tar.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { containerOf, importedContainer, type Layers, refusesContainer } from "./container-stage.ts"
import { bench } from "./stage.ts"

/** What is at a path, in a word. */
function said(files: Ext4, path: string): string {
  const entry = files.find(path)
  if (!entry) return "nothing"
  return entry.mode >> 12 === 4 ? files.list(path).join(" ") : entry.content().toString()
}

function text(name: string, content = name): TarEntry {
  return { name, content }
}

const WHITEOUTS: Layers = [
  [text("a/gone"), text("a/kept"), text("b/below/one"), text("c/old"), text("d/file"), text("e/f/g")],
  // The opaque one comes behind what its own layer has, and leaves that alone.
  [text("a/.wh.gone", ""), text("c/new"), text("c/.wh..wh..opq", ""), text("b", "no folder any more")],
  [
    { name: "d/", mode: 0o700 },
    text("twice", "first"),
    text("twice", "last"),
    { name: "e/.wh.f" },
    text("e/f/h"),
  ],
]

const PIPE = { name: "dev-pipe", type: "6" }

const ENTRIES: readonly TarEntry[] = [
  { name: "srv/", mode: 0o1777, uid: 3, gid: 4, time: 1_000_000_000 },
  { name: "srv/su", content: "su", mode: 0o6711, uid: 70000, gid: 65537, time: 1_300_000_000 },
  { name: "srv/hard", type: "1", link: "srv/su" },
  { name: "srv/link", type: "2", link: "../null", uid: 6, time: 1_100_000_000 },
  { name: "null", type: "3", device: [1, 3], mode: 0o666, time: 1_200_000_000 },
  { name: "disk0", type: "4", device: [259, 300] },
  PIPE,
  {
    name: "noted",
    content: "noted",
    pax: {
      "SCHILY.xattr.user.note": "a note",
      "SCHILY.xattr.trusted.note": "t",
      "SCHILY.xattr.security.capability": "cap",
      "SCHILY.xattr.com.example": "left out",
    },
  },
]

function entry(files: Ext4, path: string): string {
  const { mode, uid, gid, time, links, device } = files.at(path)
  return [mode.toString(8), `${uid}:${gid}`, time, links, ...(device ?? [])].join(" ")
}

const AS_THEY_ARE: Readonly<Record<string, string>> = {
  "/srv": "41777 3:4 1000000000 2",
  "/srv/su": "106711 70000:65537 1300000000 2",
  "/srv/hard": "106711 70000:65537 1300000000 2",
  "/null": "20666 0:0 1200000000 1 1 3",
  "/disk0": "60644 0:0 0 1 259 300",
  "/dev-pipe": "10644 0:0 0 1",
}

/** Layers that are refused, and what a message has to name. */
const HOSTILE: Readonly<Record<string, readonly TarEntry[]>> = {
  "climbing-name": [text("../climbs")],
  "climbing-name-inside": [text("a/../climbs")],
  "climbing-hard-link": [text("a"), { name: "climbs", type: "1", link: "../a" }],
  "below-a-file": [text("a"), text("a/climbs")],
  "root-no-folder": [{ name: ".", type: "0", content: "climbs" }],
  "hard-link-to-nothing": [{ name: "climbs", type: "1", link: "nothing" }],
  "hard-link-to-a-folder": [{ name: "a/" }, { name: "climbs", type: "1", link: "a" }],
  "whiteout-of-its-folder": [{ name: "a/" }, text("a/.wh..", "")],
  "long-name": [text(`${"n".repeat(256)}`)],
  "long-path": [text(Array.from({ length: 21 }, () => "p".repeat(200)).join("/"))],
  "long-target": [{ name: "climbs", type: "2", pax: { linkpath: "t".repeat(4096) } }],
  "sparse-file": [{ name: "climbs", type: "S", content: "x" }],
  "sparse-pax": [{ name: "climbs", content: "x", pax: { "GNU.sparse.major": "1", "GNU.sparse.minor": "0" } }],
  "unknown-type": [{ name: "climbs", type: "Z", content: "x" }],
}

/** What a user has who is not root: nothing of what makes devices, and gives files to others. */
function withoutRights(): { readonly by?: readonly string[] } {
  if (process.getuid?.() !== 0) return {}
  const by = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
  if (spawnSync(by[0] ?? "", [...by.slice(1), "true"]).status !== 0) skip("this host has no setpriv")
  return { by }
}

export const containerFiles: readonly Check<Wrapper>[] = [
  bench("import/container/layers-in-order", ["OVMS-IMP-042"], async (bench) => {
    const { files } = await importedContainer(bench, containerOf(bench, WHITEOUTS))
    const wanted = {
      "/a": "kept",
      "/b": "no folder any more",
      "/c": "new",
      "/d": "file",
      "/twice": "last",
      "/e/f": "h",
    }
    for (const [path, words] of Object.entries(wanted))
      must(said(files, path) === words, `${path} has ${said(files, path)}, and not ${words}`)
    must(
      (files.at("/d").mode & 0o7777) === 0o700,
      "a folder has not the permissions of the last layer with it",
    )
  }),
  bench("import/container/entries", ["OVMS-IMP-043"], async (bench) => {
    const { files } = await importedContainer(bench, containerOf(bench, [ENTRIES]))
    for (const [path, wanted] of Object.entries(AS_THEY_ARE)) {
      const found = entry(files, path)
      must(found === wanted, `${path} has type, owner, time, names and device ${found}, and not ${wanted}`)
    }
    must(files.at("/srv/su").inode === files.at("/srv/hard").inode, "a hard link is a file of its own")
    const link = files.at("/srv/link")
    must(link.mode >> 12 === 10 && `${link.content()}` === "../null", "a symbolic link leads elsewhere")
    must(link.uid === 6 && link.time === 1_100_000_000, "a symbolic link has another owner or time")
    const attributes = Object.entries(files.at("/noted").attributes).sort().join(" ")
    const kept = "security.capability,cap trusted.note,t user.note,a note"
    must(attributes === kept, `a file has the attributes ${attributes}, and not ${kept}`)
  }),
  bench("import/container/names-from-its-root", ["OVMS-IMP-044"], async (bench) => {
    const { files } = await importedContainer(
      bench,
      containerOf(bench, [
        [
          text("/srv/data/one", "one"),
          { name: "outside", type: "2", link: "/srv/data" },
          { name: "up", type: "2", link: "../../../../srv" },
          text("outside/two"),
          text("up/three"),
          { name: "four", type: "1", link: "/outside/one" },
        ],
      ]),
    )
    must(said(files, "/srv/data") === "one two", `/srv/data has ${said(files, "/srv/data")}`)
    must(files.find("/srv/three"), "a link that climbs above the root does not lead to the root")
    must(said(files, "/four") === "one", "a hard link by an absolute name is another file")
    must(files.at("/outside").mode >> 12 === 10, "a link became a folder")
  }),
  ...Object.entries(HOSTILE).map(([name, entries]) =>
    bench(`import/container/refuses-${name}`, ["OVMS-IMP-045"], async (bench) => {
      const said = await refusesContainer(bench, [[[text("first")], entries], "OVM_ARTIFACT_INVALID"])
      must(/layer\D{0,3}2|sha256:/.test(said), `the refusal names no layer: ${said.trim()}`)
    }),
  ),
  bench("import/container/refuses-cut-short", ["OVMS-IMP-045"], async (bench) => {
    const whole = (tar: Buffer) => tar.subarray(0, 1024)
    await refusesContainer(bench, [[[text("climbs", "x".repeat(2000))]], "OVM_ARTIFACT_INVALID"], { whole })
  }),
  bench("import/container/too-many-layers", ["OVMS-IMP-046"], async (bench) => {
    const layers = Array.from({ length: 128 }, (_, at) => [text(`${at}`)])
    await refusesContainer(bench, [layers, "OVM_TOO_LARGE"])
    const { files } = await importedContainer(bench, containerOf(bench, layers.slice(1)))
    must(files.find("/127"), "of 127 layers the last one is not in the machine")
    const huge = [[text("small")], [{ name: "huge", type: "0", pax: { size: `${2 ** 38}` } }]]
    await refusesContainer(bench, [huge, "OVM_TOO_LARGE"])
  }),
  bench("import/container/nothing-on-the-host", ["OVMS-IMP-047"], async (bench) => {
    const marked = "of-the-image-alone"
    const temporary = join(bench.folder, "temporary")
    await mkdir(temporary)
    let seen = ""
    let over = false
    const looking = (async () => {
      while (!over) {
        await setTimeout(20)
        const found = await readdir(bench.folder, { recursive: true }).catch(() => [])
        seen ||= found.find((path) => basename(path) === marked) ?? ""
      }
    })()
    const many = Array.from({ length: 2000 }, (_, at) => text(`files/${at}/${marked}`))
    const container = containerOf(bench, [[...many, ...ENTRIES]])
    const without = { env: { TMPDIR: temporary }, ...withoutRights() }
    const { files } = await importedContainer(bench, container, without).finally(() => {
      over = true
    })
    await looking
    must(seen === "", `it made ${seen} on its own host`)
    must(files.find(`/files/1999/${marked}`), "the last of the files is not in the machine")
    must(files.at("/null").mode >> 12 === 2, "a device of the image is none in the machine")
  }),
]

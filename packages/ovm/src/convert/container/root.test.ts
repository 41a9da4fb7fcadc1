import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { digestOf, type LayerEntry, layerOf } from "@ovms/testkit/container.ts"
import { CONTAINER_LIMITS } from "./limits.ts"
import { imageOf, imageOfTars, MadeRoot, missing, refusal } from "./root.testing.ts"

setDefaultTimeout(120_000)

const skip = missing && `${missing} is not installed`
if (skip) console.log(`SKIP packages/ovm/src/convert/container/root.test.ts: ${skip}`)

const CAPABILITY = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\xff"
const ACCESS = [
  [1, 7],
  [2, 5, 1000],
  [4, 5],
  [16, 7],
  [32, 4],
] as const
const ACL = Buffer.concat([
  Buffer.from([2, 0, 0, 0]),
  ...ACCESS.map(([tag, bits, id = 0xffffffff]) => {
    const one = Buffer.alloc(8)
    one.writeUInt16LE(tag, 0)
    one.writeUInt16LE(bits, 2)
    one.writeUInt32LE(id, 4)
    return one
  }),
]).toString("latin1")

describe.skipIf(Boolean(skip))("a root file system of a container image", () => {
  test("has each entry as the layer has it [OVMS-IMP-043, OVMS-IMP-047]", async () => {
    await using made = await MadeRoot.of(
      imageOf([
        [
          { name: "./", mode: 0o711, time: "1500000000" },
          { name: "home/web/", uid: 1000, gid: 70000, mode: 0o2750, time: "1234567890.123456789" },
          { name: "su", content: "s".repeat(70_000), uid: 5, gid: 6, mode: 0o4711, time: "1600000000.5" },
          { name: "home/web/su", type: "1", link: "/su" },
          { name: "short", type: "2", link: "../../su" },
          { name: "long", type: "2", link: "a/".repeat(100) },
          { name: "null", type: "3", device: [1, 3], mode: 0o666 },
          { name: "disk", type: "4", device: [259, 70_000] },
          { name: "pipe", type: "6" },
          { name: "before", time: "-1.25", pax: { mtime: "-1.25" } },
          { name: '\xff\n"', content: "bytes" },
          { name: "ping", pax: { "SCHILY.xattr.security.capability": CAPABILITY } },
          { name: "acl", pax: { "SCHILY.xattr.system.posix_acl_access": ACL, "SCHILY.xattr.user.a": "" } },
          {
            name: "much",
            pax: { "SCHILY.xattr.user.much": "m".repeat(3000), "SCHILY.xattr.trusted.t": "t" },
          },
          { name: "mac", pax: { "SCHILY.xattr.com.apple.x": "y" } },
        ],
      ]),
    )
    const { su, short, long, null: device, disk, pipe, ping, acl, much } = made.list("/")
    expect(made.ask("stat /")).toContain("Mode:  0711")
    expect(su).toMatchObject({ mode: "104711", uid: 5, gid: 6, size: "70000" })
    const web = made.list("/home")
    expect(web.web).toMatchObject({ mode: "042750", uid: 1000, gid: 70000 })
    expect(made.list("/home/web").su?.inode).toBe(su?.inode ?? 0)
    expect(made.ask("stat /su")).toContain("Links: 2")
    expect(made.ask("stat /su")).toContain(
      `mtime: 0x${(1600000000).toString(16)}:${(500_000_000 * 4).toString(16)}`,
    )
    expect(made.ask("cat /su")).toBe("s".repeat(70_000))
    expect(made.ask("stat /home/web")).toContain(`mtime: 0x499602d2:${(123456789 * 4).toString(16)}`)
    expect(made.ask("stat /before")).toContain(`mtime: 0xfffffffe:${((750_000_000 * 4) >>> 0).toString(16)}`)
    expect([short?.mode, long?.mode, device?.mode, disk?.mode, pipe?.mode]).toEqual([
      "120644",
      "120644",
      "020666",
      "060644",
      "010644",
    ])
    expect(made.ask("stat /short")).toContain('Fast link dest: "../../su"')
    expect(made.ask("cat /long")).toBe("a/".repeat(100))
    expect(made.ask("stat /null")).toContain("Device major/minor number: 01:03")
    expect(made.ask("stat /disk")).toContain("Device major/minor number: 259:70000")
    expect(made.ask(`ea_get -x <${ping?.inode}> security.capability`)).toContain(
      Buffer.from(CAPABILITY, "latin1").toString("hex").replace(/../g, "$& ").trim(),
    )
    expect(made.ask(`ea_list <${acl?.inode}>`)).toContain("system.posix_acl_access")
    expect(made.ask(`ea_get <${much?.inode}> user.much`)).toContain("m".repeat(3000))
    expect(made.remarks).toEqual(['image: layer 1: "mac": its attribute "com.apple.x" is left out'])
  })
})

describe.skipIf(Boolean(skip))("layers, one over the other", () => {
  const text = (name: string, content = name): LayerEntry => ({ name, content })
  const gone = (name: string): LayerEntry => ({ name, content: "" })

  test("whiteouts, kinds and twice the same name [OVMS-IMP-042]", async () => {
    await using made = await MadeRoot.of(
      imageOf([
        [
          ...["gone", "kept", "opaque/below", "deep/er/below", "file", "twice"].map((name) => text(name)),
          { name: "folder/", mode: 0o700 },
          text("folder/in"),
          { name: "becomes-file/" },
          text("becomes-file/in"),
        ],
        [
          text("twice", "first"),
          text("opaque/above"),
          gone("opaque/.wh..wh..opq"),
          text("again", "of this layer"),
          gone(".wh.again"),
          gone(".wh.gone"),
          gone("deep/.wh.er"),
          gone("not/there/.wh.any"),
          gone(".wh..wh.aufs"),
          { name: "folder/", mode: 0o755, uid: 9 },
          text("becomes-file"),
          { name: "file/" },
          text("file/in"),
          text("twice", "last"),
        ],
      ]),
    )
    expect(Object.keys(made.list("/")).filter((name) => !OWN.includes(name))).toEqual([
      "again",
      "becomes-file",
      "deep",
      "file",
      "folder",
      "kept",
      "opaque",
      "twice",
    ])
    expect(Object.keys(made.list("/opaque"))).toEqual(["above"])
    expect(made.list("/deep")).toEqual({})
    expect(made.list("/").folder).toMatchObject({ mode: "040755", uid: 9 })
    expect([made.ask("cat /folder/in"), made.ask("cat /twice"), made.ask("cat /again")]).toEqual([
      "folder/in",
      "last",
      "of this layer",
    ])
    expect(made.ask("cat /file/in")).toBe("file/in")
  })

  test("links on the way lead nowhere but within the image [OVMS-IMP-044]", async () => {
    await using made = await MadeRoot.of(
      imageOf([
        [
          { name: "usr/bin/" },
          { name: "bin", type: "2", link: "/usr/bin" },
          { name: "out", type: "2", link: "../../../../usr" },
          { name: "new", type: "2", link: "made/here" },
        ],
        [
          text("bin/sh"),
          text("out/lib"),
          text("new/file"),
          text("/absolute"),
          { name: "bin/hard", type: "1", link: "out/lib" },
        ],
        [{ name: "bin/.wh.sh" }, { name: "out", type: "2", link: "elsewhere" }],
      ]),
    )
    expect(Object.keys(made.list("/usr/bin"))).toEqual(["hard"])
    expect(made.ask("cat /usr/lib")).toBe("out/lib")
    expect(made.ask("cat /made/here/file")).toBe("new/file")
    expect(made.ask("cat /absolute")).toBe("/absolute")
    expect(made.ask("stat /out")).toContain('Fast link dest: "elsewhere"')
  })

  test("what its config says is in it, and the same image is the same disk [OVMS-IMP-048, OVMS-IMP-049, OVMS-IMP-050]", async () => {
    const config = {
      Entrypoint: ["/web", "--port"],
      Cmd: ["80"],
      Env: ["A=b c", "EMPTY="],
      User: "web:www",
      WorkingDir: "srv/www",
    }
    const image = imageOf([[text("web"), { name: "sbin/init", type: "2", link: "/lib/init" }]], config)
    await using made = await MadeRoot.of(image, { made: 1_700_000_000 })
    expect(made.ask("cat /etc/ovm/main").split("\0")).toEqual([
      ..."exec argument=/web argument=--port argument=80".split(" "),
      ...["variable=A=b c", "variable=EMPTY=", "user=web:www", "directory=/srv/www", ""],
    ])
    expect(made.ask("cat /etc/ovm/init")).toBe("the first program")
    expect(made.list("/etc/ovm").init?.mode).toBe("100755")
    expect(made.ask("cat /etc/hosts")).toStartWith("127.0.0.1 localhost\n")
    expect(made.ask("stat /sbin/init")).toContain('Fast link dest: "/lib/init"')
    expect(Object.keys(made.list("/srv"))).toEqual(["www"])
    await using again = await MadeRoot.of(image, { made: 1_700_000_000 })
    expect(again.digest).toBe(made.digest)
    await using bare = await MadeRoot.of(imageOf([[text("web")]]))
    expect(bare.list("/etc/ovm").main?.size).toBe("0")
    expect(bare.ask("stat /sbin/init")).toContain('Fast link dest: "/etc/ovm/init"')
  })

  test("thousands of files, some of them large, and folders of many blocks", async () => {
    const many = Array.from({ length: 3000 }, (_, at) => text(`many/${"n".repeat(at % 200)}-${at}`, `${at}`))
    const large = Buffer.alloc(140 * 2 ** 20)
    large.write("end", large.length - 3)
    await using made = await MadeRoot.of(
      imageOf([[...many, { name: "large", content: large }, text("last")]]),
    )
    expect(Object.keys(made.list("/many")).length).toBe(3000)
    expect(made.ask(`cat /many/${"n".repeat(199)}-2999`)).toBe("2999")
    expect(made.list("/").large?.size).toBe(`${large.length}`)
    expect(made.ask("cat /last")).toBe("last")
  })
})

const OWN = ["proc", "sys", "dev", "run", "tmp", "etc", "sbin", "lost+found"]

describe.skipIf(Boolean(skip))("hostile images", () => {
  const file: LayerEntry = { name: "file", content: "content" }
  const cases: readonly (readonly [string, LayerEntry, string])[] = [
    ["a name that climbs", { name: "a/../../etc/passwd" }, "leads out of the image"],
    ["a hard link that climbs", { name: "a", type: "1", link: "../../etc/passwd" }, "leads out of the image"],
    ["a hard link to nothing", { name: "a", type: "1", link: "/etc/passwd" }, "which is not there"],
    ["a hard link to a folder", { name: "a", type: "1", link: "folder" }, "to a folder"],
    ["an entry below a file", { name: "file/in" }, "below what is no folder"],
    ["an entry below a link in a circle", { name: "circle/in" }, "below what is no folder"],
    ["a root that is a file", { name: "./", type: "2", link: "/etc" }, "no folder"],
    ["a whiteout of the root", { name: ".wh.." }, "would remove the folder"],
    ["a whiteout of what is above", { name: "folder/.wh..." }, "would remove the folder"],
    ["a whiteout of nothing", { name: ".wh." }, "would remove the folder"],
    ["a part of a name that is too long", { name: "n".repeat(256) }, "more than 255 bytes"],
    ["a name that is too long", { name: "n/".repeat(2049) }, "longer than 4096 bytes"],
    ["a target that is too long", { name: "a", type: "2", link: "t".repeat(4096) }, "longer than 4095"],
    ["a link to nowhere", { name: "a", type: "2" }, "leads nowhere"],
    ["a sparse file of 1 TiB", { name: "a", pax: { "GNU.sparse.realsize": `${2 ** 40}` } }, "a sparse file"],
    ["a sparse file of GNU's older kind", { name: "a", type: "S" }, "a type that is not known"],
    ["a device that Linux has not", { name: "a", type: "3", device: [4096, 1] }, "there is no device"],
    ["an owner beyond 32 bits", { name: "a", pax: { uid: "4294967295" } }, "no number of 32 bits"],
    ["a time that nobody can keep", { name: "a", pax: { mtime: "99999999999999" } }, "its time"],
    [
      "attributes that have no room",
      { name: "a", pax: { "SCHILY.xattr.user.a": "x".repeat(5000) } },
      "more than a block",
    ],
    ["a pax header that is none", { name: "a", pax: { size: "-5" } }, "its size is no number"],
    ["content that is not there", { name: "a", size: 5000 }, "cut short"],
  ]
  test.each(cases)("%s is refused [OVMS-IMP-045]", async (_, entry, reason) => {
    const below = [file, { name: "folder/" }, { name: "circle", type: "2", link: "circle" }]
    const { code, message } = await refusal(imageOf([below, [entry]]))
    expect([code, message]).toEqual(["OVM_ARTIFACT_INVALID", expect.stringContaining(reason)])
    expect(message).toStartWith("image: layer 2: ")
  })

  test("a layer that is another one, damaged, or cut off [OVMS-IMP-041]", async () => {
    const tar = layerOf([file])
    const image = imageOfTars([tar])
    const as = (bytes: Uint8Array) => ({
      ...image,
      layers: [{ digest: digestOf(bytes), open: async () => stream(bytes) }],
    })
    for (const packed of [gzipSync(tar), zstdCompressSync(tar)]) {
      await using made = await MadeRoot.of(as(packed))
      expect(made.ask("cat /file")).toBe("content")
      const cut = (await refusal(as(packed.subarray(0, -9)))).code
      expect(["OVM_ARTIFACT_INVALID", "OVM_DIGEST_MISMATCH"]).toContain(cut)
      const damaged = Buffer.concat([packed.subarray(0, 4), Buffer.alloc(1000, 0xff)])
      expect((await refusal(as(damaged))).message).toContain("cannot be unpacked")
    }
    expect((await refusal(as(layerOf([{ ...file, content: "another" }])))).code).toBe("OVM_DIGEST_MISMATCH")
    expect((await refusal(as(tar.subarray(0, 700)))).code).toBe("OVM_DIGEST_MISMATCH")
    expect((await refusal(as(Buffer.alloc(5000, 7)))).message).toContain("no entry of a tar archive")
  })

  test("more than there may be [OVMS-IMP-046]", async () => {
    const bounded = (change: Partial<typeof CONTAINER_LIMITS>) => ({
      limits: { ...CONTAINER_LIMITS, ...change },
    })
    const many = imageOf([Array.from({ length: 50 }, (_, at) => ({ name: `${at}` })), [file]])
    const wordy = imageOf([[file]], { Cmd: ["x".repeat(2 ** 20)] })
    const deep = imageOf([[{ name: "d/".repeat(2000) }]])
    for (const [image, limits, words] of [
      [many, { entries: 50 }, "more than 50 entries"],
      [wordy, {}, "of a command and its environment"],
      [deep, { entries: 1999 }, "more than 1999 entries"],
      [many, { textBytes: 60 }, "bytes of names"],
      [
        imageOf([[{ name: "a", pax: { "SCHILY.xattr.com.x": "x".repeat(500) } }]]),
        { textBytes: 100 },
        "bytes of names",
      ],
      [
        imageOfTars([Buffer.concat([layerOf([file]), Buffer.alloc(99_999)])]),
        { bytes: 90_000 },
        "more than 90000 bytes",
      ],
      [imageOf([[{ name: "a", size: 2 ** 40, pax: { size: `${2 ** 40}` } }]]), {}, "bytes"],
    ] as const) {
      const { code, message } = await refusal(image, bounded(limits))
      expect([code, message]).toEqual(["OVM_TOO_LARGE", expect.stringContaining(words)])
    }
  })
})

async function* stream(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

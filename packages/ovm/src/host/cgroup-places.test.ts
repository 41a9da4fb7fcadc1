import { expect, test } from "bun:test"
import { hierarchiesIn } from "./cgroup-places.ts"

const line = (root: string, mount: string, type: string, options = "rw") =>
  `36 35 0:30 ${root} ${mount} rw,nosuid shared:9 - ${type} ${type} ${options}`

test.each([
  [
    "version 2",
    [line("/", "/sys/fs/cgroup", "cgroup2", "rw,nsdelegate")],
    "0::/user.slice/a.service/daemon\n",
    [{ version: 2, mount: "/sys/fs/cgroup", own: "/sys/fs/cgroup/user.slice/a.service/daemon" }],
  ],
  [
    "both, the one with the controller first",
    [
      line("/", "/sys/fs/cgroup/unified", "cgroup2"),
      line("/", "/sys/fs/cgroup/cpuset", "cgroup", "rw,cpuset"),
      line("/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
    ],
    "4:cpuset:/x\n3:cpuacct,cpu:/y\n1:name=systemd:/z\n0::/w\n",
    [
      { version: 1, mount: "/sys/fs/cgroup/cpu,cpuacct", own: "/sys/fs/cgroup/cpu,cpuacct/y" },
      { version: 2, mount: "/sys/fs/cgroup/unified", own: "/sys/fs/cgroup/unified/w" },
    ],
  ],
  [
    "a part of it, at a path with a space",
    [line("/docker/ab", "/a\\040b", "cgroup", "rw,cpu")],
    "3:cpu:/docker/ab/c\n",
    [{ version: 1, mount: "/a b", own: "/a b/c" }],
  ],
  [
    "a part that does not have this process in it",
    [line("/docker/ab", "/g", "cgroup", "rw,cpu")],
    "3:cpu:/docker/abc\n",
    [{ version: 1, mount: "/g" }],
  ],
  [
    "a namespace that this process is outside of",
    [line("/", "/g", "cgroup2")],
    "0::/../../x\n",
    [{ version: 2, mount: "/g" }],
  ],
  ["none", [line("/", "/sys", "sysfs"), line("/", "/g", "cgroup", "rw,memory")], "3:memory:/\n", []],
  ["noise", ["", "36", "a - b", " - cgroup2"], "\n0:\n", []],
] as const)("hierarchies of control groups: %s", (_, mountinfo, cgroup, found) => {
  expect(hierarchiesIn({ mountinfo: mountinfo.join("\n"), cgroup }, "cpu")).toEqual([...found])
})

test("input and output have another name in version 1", () => {
  const mountinfo = line("/", "/sys/fs/cgroup/blkio", "cgroup", "rw,blkio")
  expect(hierarchiesIn({ mountinfo, cgroup: "5:blkio:/a\n" }, "io")).toEqual([
    { version: 1, mount: "/sys/fs/cgroup/blkio", own: "/sys/fs/cgroup/blkio/a" },
  ])
  expect(hierarchiesIn({ mountinfo, cgroup: "5:blkio:/a\n" }, "memory")).toEqual([])
})

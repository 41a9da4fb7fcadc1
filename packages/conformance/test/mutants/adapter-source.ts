import { chmod, mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { ADAPTER } from "../bed.ts"

type Patch = readonly [right: string, wrong: string]

/** What in the source of the example adapter stands for what, by the names of the table. */
const PATCHES: Readonly<Record<string, readonly Patch[]>> = {
  "says an error beside a result": [
    [
      'say({"id": request["id"], "error": {"code"',
      'say({"id": request["id"], "result": {}, "error": {"code"',
    ],
  ],
  "says that there is no error": [
    ['await VERBS[request["verb"]](request)})', 'await VERBS[request["verb"]](request), "error": None})'],
  ],
  "answers one after the other": [
    ["asyncio.ensure_future(answer(json.loads(line)))", "await answer(json.loads(line))"],
  ],
  "has numbers of 32 bits": [
    ['say({"id": request["id"], "result"', 'say({"id": request["id"] & 0xffffffff, "result"'],
    ['say({"id": request["id"], "error"', 'say({"id": request["id"] & 0xffffffff, "error"'],
  ],
  "takes short lines": [
    ["reader = asyncio.StreamReader(limit=MIB)", "reader = asyncio.StreamReader(limit=1 << 15)"],
  ],
  "reads no UTF-8": [["answer(json.loads(line))", 'answer(json.loads(line.decode("latin-1")))']],
  "refuses members that it does not know": [
    [
      "async def watch(request):",
      'async def watch(request):\n    assert set(request) <= {"id", "verb", "directory", "own"}',
    ],
  ],
  "dies of a verb that it does not know": [
    ["async def answer(request):", 'async def answer(request):\n    request["verb"] in VERBS or os._exit(3)'],
  ],
  "prints what is no line of the contract": [
    ["async def capabilities(_):", 'async def capabilities(_):\n    print("looking")'],
  ],
  "takes its time": [["async def watch(request):", "async def watch(request):\n    await asyncio.sleep(15)"]],
  "takes its machines with it": [
    [
      "asyncio.ensure_future(answer(json.loads(line)))\n",
      'asyncio.ensure_future(answer(json.loads(line)))\n    for one in list(Monitor.open_ones.values()):\n        await (await one).execute("quit")\n',
    ],
  ],
  "answers all before it ends": [
    [
      "    while line := await reader.readline():\n        asyncio.ensure_future(answer(json.loads(line)))",
      "    all = []\n    while line := await reader.readline():\n        all.append(asyncio.ensure_future(answer(json.loads(line))))\n    await asyncio.gather(*all)",
    ],
  ],
  "lists an accelerator that it refuses": [
    ['"accelerators": ACCELERATORS}', '"accelerators": ACCELERATORS + ["kvm"]}'],
  ],
  "calls what is not installed a failure": [
    ['raise Refused("OVM_VMM_MISSING"', 'raise Refused("OVM_VMM_FAILED"'],
  ],
  "says how old what is not there is": [
    [
      "async def capabilities(_):\n    path = qemu()",
      'async def capabilities(_):\n    path = shutil.which("qemu-system-x86_64") or "/usr/bin/qemu-system-none"',
    ],
    ["    said = subprocess.run", '    if not os.path.exists(path): return "1.0"\n    said = subprocess.run'],
    ["os.stat(path).st_mtime", "0"],
  ],
  "ignores that something is not required": [['one["required"], f"it has no', 'True, f"it has no']],
  "counts from one": [['(f"/devices/{index}/type"', '(f"/devices/{index + 1}/type"']],
  "leaves a process of a check": [
    [
      'async def check(request):\n    plan = request["plan"]',
      'async def check(request):\n    plan = request["plan"]\n    subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)',
    ],
  ],
  "starts what it checks": [
    [
      'async def check(request):\n    plan = request["plan"]',
      'async def check(request):\n    plan = request["plan"]\n    subprocess.Popen(command_line(plan), cwd=plan["directory"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)',
    ],
  ],
  "believes what an earlier life left": [
    [
      'os.unlink(os.path.join(plan["directory"], name))',
      'name == MONITOR and os.unlink(os.path.join(plan["directory"], name))',
    ],
  ],
  "keeps in mind why it ended": [
    ["why = text_of(directory, WHY) or traced(directory, status)", "why = MEM.get(directory)"],
    ["    def note(self, why):", "    def note(self, why):\n        MEM[self.directory] = why"],
    ["class Refused", "MEM = {}\nclass Refused"],
  ],
  "has an agent's socket that is not there": [
    ['**({"agent": AGENT} if plan.get("agent") else {})}', '"agent": AGENT}'],
  ],
  "points by dots": [['("/kernel/args",', '("kernel.args",']],
  "watches what it started alone": [
    ["    monitor.watched = True\n    return await monitor.look()", "    return await monitor.look()"],
  ],
  "says of what it started that it stands still": [
    [
      'await monitor.go()\n    return {"running": True}',
      'await monitor.go()\n    return {"running": False, "reason": "request"}',
    ],
  ],
  "has one size of memory": [['f"{memory // 1024}k"', '"32M"']],
  "has 32 MiB at least": [['f"{memory // 1024}k"', 'f"{max(memory, 32 * MIB) // MIB}M"']],
  "has two processors at least": [["str(vcpus)", "str(max(2, vcpus))"]],
  "cuts arguments": [['"-append", kernel["args"]]', '"-append", kernel["args"][:256]]']],
  "joins the words of arguments": [
    ['"-append", kernel["args"]]', '"-append", " ".join(kernel["args"].split())]'],
  ],
  "has a shell read its command line": [
    [
      'return {"argv": command_line(plan),',
      'return {"argv": ["/bin/sh", "-c", "exec " + " ".join(chr(34) + one.replace(chr(34), chr(92) + chr(34)) + chr(34) for one in command_line(plan))],',
    ],
  ],
  "turns further disks around": [['+ plan.get("disks", [])):', '+ plan.get("disks", [])[::-1]):']],
  "has one further disk": [['+ plan.get("disks", [])):', '+ plan.get("disks", [])[:1]):']],
  "writes to the first disk alone": [
    [
      'bool(disk.get("overlay")), disk.get("name"))',
      'bool(disk.get("overlay")) and index == 0, disk.get("name"))',
    ],
    [
      'nodes, top = chain(disk, f"disk{index}")',
      'nodes, top = chain(disk, f"disk{index}")\n        nodes = nodes if index == 0 else [one.replace(chr(34) + "read-only" + chr(34) + ": false", chr(34) + "read-only" + chr(34) + ": true") for one in nodes]',
    ],
  ],
  "leaves layers between away": [
    [
      'layers = [{**layer, "writable": False} for layer in disk["layers"]]',
      'layers = [{**layer, "writable": False} for layer in (disk["layers"][:1] + disk["layers"][-1:] if len(disk["layers"]) > 2 else disk["layers"])]',
    ],
  ],
  "knows short folders alone": [
    ['f"/proc/self/fd/{folder}/{MONITOR}"', "os.path.join(self.directory, MONITOR)"],
  ],
  "has an agent's socket that leads nowhere": [
    [
      'line += ["-device", "virtserialport,bus=agents.0,chardev=agent,name=org.ovms.agent.0"]',
      'line += ["-device", "virtserialport,bus=agents.0,name=org.ovms.agent.0"]',
    ],
  ],
  "calls the agent's port otherwise": [["name=org.ovms.agent.0", "name=org.qemu.guest_agent.0"]],
  "starts nothing without a device that is not required": [
    [
      "line += disks(plan)",
      'line += disks(plan)\n    for one in plan.get("devices", []): assert one["type"] == "rng"',
    ],
  ],
  "takes no typing": [
    [
      'return {"argv": command_line(plan),',
      'return {"argv": ["/bin/sh", "-c", \'exec "$0" "$@" </dev/null\', *command_line(plan)],',
    ],
  ],
  "has keys of its own": [['"stdio,id=console,signal=off"', '"stdio,id=console,signal=off,mux=on"']],
  "goes on after a reset": [['"-no-reboot", "-S"]', '"-S"]']],
  "says at once that it started": [
    [
      "async def start(request):\n",
      "async def start(request):\n    asyncio.ensure_future(begin(request))\n    return {}\nasync def begin(request):\n",
    ],
  ],
  "says that it watches, and does not": [
    ["    monitor.watched = True\n    await monitor.go()", "    await monitor.go()"],
  ],
  "tells of a folder by its name": [
    [
      'say({"event": "guest", "directory": self.directory, **guest})',
      'say({"event": "guest", "directory": os.path.basename(self.directory), **guest})',
    ],
  ],
  "takes one machine for another": [
    [
      "if directory not in cls.open_ones:",
      "if cls.open_ones: directory = next(iter(cls.open_ones))\n        if directory not in cls.open_ones:",
    ],
  ],
  "tells of a pause, and does not pause": [
    ['"pause": lambda request: command(request, "stop")', '"pause": lambda request: tells(request)'],
    [
      "async def watch(request):",
      'async def tells(request):\n    (await Monitor.of(request["directory"])).tell({"running": False, "reason": "request"})\n    return {}\nasync def watch(request):',
    ],
  ],
  "does not look whether it goes on": [
    [
      '        await asyncio.sleep(0.2 if before else 0)\n        guest = {"running": True}',
      '        return\n        guest = {"running": True}',
    ],
  ],
  "calls all that a disk fails full": [['"disk-full" if full else "io-error",\n', '"disk-full",\n']],
  "forgets why a guest stands still": [['if status != "io-error":', "if True:"]],
  "leaves what has panicked": [
    ['if status in ("guest-panicked", "internal-error"):', 'if status in ("internal-error",):'],
  ],
  "waits for what a button does": [
    [
      'await (monitor.go() if one == "cont" else monitor.execute(one))\n    return {}',
      'await (monitor.go() if one == "cont" else monitor.execute(one))\n    while one == "system_powerdown" and not monitor.reader.at_eof(): await asyncio.sleep(0.01)\n    return {}',
    ],
  ],
  "ends who does not hear the button": [
    [
      'await (monitor.go() if one == "cont" else monitor.execute(one))\n    return {}',
      'await (monitor.go() if one == "cont" else monitor.execute(one))\n    if one == "system_powerdown": asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(monitor.execute("quit")))\n    return {}',
    ],
  ],
  "kills who is to quit": [
    ['"quit": lambda request: command(request, "quit")', '"quit": lambda request: killed(request)'],
    [
      "async def watch(request):",
      'async def killed(request):\n    import socket, struct\n    monitor = await Monitor.of(request["directory"])\n    monitor.note("quit")\n    os.kill(struct.unpack("3i", monitor.writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0], 9)\n    return {}\nasync def watch(request):',
    ],
  ],
  "has results of what never ran": [["status % 2 == 1 and status > 1:", "status % 2 == 1:"]],
  "has results of six bits": [['"result": status >> 1}', '"result": status >> 1 & 63}']],
  "wants to know a status": [
    [
      'request["directory"], request.get("status")',
      'request["directory"], request["status"] if "signal" not in request else None',
    ],
  ],
  "calls what it has not seen a shutdown": [
    [
      "why = text_of(directory, WHY) or traced(directory, status)",
      'why = text_of(directory, WHY) or ("guest-shutdown" if status == 0 else None)',
    ],
  ],
  "wants lists that are empty": [['plan.get("disks", [])):', 'plan["disks"]):']],
  "knows no disk that is empty at first": [
    ["def chain(disk, name):", 'def chain(disk, name):\n    disk["layers"][0]["path"]'],
  ],
  "wants to know whether a disk is kept": [['bool(disk.get("ephemeral"))', 'disk["ephemeral"]']],
  "starts nothing on an accelerator that is named": [
    [
      "def command_line(plan):",
      'def command_line(plan):\n    if plan.get("accelerator"): raise Refused("OVM_UNSUPPORTED", "the accelerator is its own choice")',
    ],
  ],
  "never forgets a full disk": [
    ["self.runs, self.trouble = self.runs + 1, None", "self.runs = self.runs + 1"],
  ],
}

export const PATCHED = Object.keys(PATCHES)

/** Path of the example adapter with that one fault, in `folder`. Throws where the source has changed meanwhile. */
export async function wrongAdapter(fault: string, folder: string): Promise<string> {
  const patches = PATCHES[fault]
  if (patches === undefined) throw new Error(`no patch: ${fault}`)
  let source = await readFile(ADAPTER, "utf8")
  for (const [right, wrong] of patches) {
    if (!source.includes(right)) throw new Error(`the adapter has no ${right}`)
    source = source.replace(right, () => wrong)
  }
  await mkdir(folder)
  const path = join(folder, "ovm-vmm-pyqemu")
  await writeFile(path, source)
  await chmod(path, 0o755)
  return path
}

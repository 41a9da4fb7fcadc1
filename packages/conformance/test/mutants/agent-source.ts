import { spawnSync } from "node:child_process"
import { cp, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"

const SOURCES = join(import.meta.dir, "../../../agent/src")

/** In which file of the agent's source what stands for what, by the names of the table. */
const PATCHES: Readonly<Record<string, readonly [file: string, right: string, wrong: string]>> = {
  "has seven bits for a status": [
    "stream.c",
    "WEXITSTATUS(stream->status)",
    "(WEXITSTATUS(stream->status) & 127)",
  ],
  "drops arguments that are empty": [
    "request.c",
    "arguments[argument++] = value;",
    "if (*value) arguments[argument++] = value;",
  ],
  "takes 64 arguments": ["agent.h", "MOST_TEXTS = 4096", "MOST_TEXTS = 64"],
  "leaves signals as it has them": [
    "spawn.c",
    "for (int number = 1; number <= SIGRTMAX; number++) signal(number, SIG_DFL);",
    "",
  ],
  "leaves signals blocked": ["spawn.c", "  sigprocmask(SIG_SETMASK, &none, NULL);\n}", "}"],
  "knows no names of groups": [
    "exec.c",
    "if (group && !is_number(group, &gid))",
    "if (group && !is_number(group, &gid) && false)",
  ],
  "takes a group that it does not know for root's": [
    "exec.c",
    'if (!found) fail(group, "there is no such group", CANNOT);\n    gid = found->gr_gid;',
    "gid = found ? found->gr_gid : 0;",
  ],
  "takes any HELLO": [
    "input.c",
    "else if (hello && memcmp(header + HEADER, MAGIC, sizeof MAGIC) != 0) lost = true;",
    "",
  ],
  "ends before its output does": [
    "stream.c",
    "!stream->ended || child->out >= 0 || child->err >= 0",
    "!stream->ended",
  ],
  "ends before its errors do": [
    "stream.c",
    "!stream->ended || child->out >= 0 || child->err >= 0",
    "!stream->ended || child->out >= 0",
  ],
  "knows the last grant alone": ["stream.c", "UINT32_MAX : stream->credit + more", "UINT32_MAX : more"],
  "takes rows for columns": [
    "stream.c",
    ".ws_row = get16(payload), .ws_col = get16(payload + 2)",
    ".ws_col = get16(payload), .ws_row = get16(payload + 2)",
  ],
  "has small terminals": ["request.c", "number(text, 65535, &rows)", "number(text, 255, &rows)"],
  "takes variables without a value": [
    "request.c",
    "if (*value == '=' || !strchr(value, '='))",
    "if (*value == '=')",
  ],
  "takes any path": ["request.c", "if (*value != '/') return", "if (*value == 0) return"],
  "keeps input open": [
    "stream.c",
    "if (stream->last && child->in != child->out) close_input(stream);",
    "(void)stream->last;",
  ],
  "runs all as root": ["exec.c", "setgid(gid) != 0 || setuid(uid) != 0", "setgid(gid) != 0"],
  "cuts long links": [
    "tar.c",
    "if (strlen(entry->link) > MOST_NAME)",
    "if (strlen(entry->link) > MOST_PATH)",
  ],
  "gives folders no time": [
    "files-read.c",
    "entry.time = found->st_mtime;",
    "entry.time = type == TAR_FOLDER ? 0 : found->st_mtime;",
  ],
  "takes a slash at the end for a name": [
    "files-read.c",
    "while (length > 1 && path[length - 1] == '/') path[--length] = 0;",
    "",
  ],
}

export const PATCHED = Object.keys(PATCHES)

/** Why nothing can be compiled here; empty if it can. */
export const compilerMissing = spawnSync("musl-gcc", ["--version"]).status === 0 ? "" : "(no musl-gcc)"

/** Path of ovm's agent with that one fault, compiled in `folder`. Throws where the source has changed meanwhile. */
export async function wrongAgent(fault: string, folder: string): Promise<string> {
  const [file, right, wrong] = PATCHES[fault] ?? []
  if (file === undefined || right === undefined || wrong === undefined) throw new Error(`no patch: ${fault}`)
  await cp(SOURCES, join(folder, "src"), { recursive: true })
  const path = join(folder, "src", file)
  const source = await readFile(path, "utf8")
  if (!source.includes(right)) throw new Error(`${file} has no ${right}`)
  await writeFile(path, source.replace(right, wrong))
  const line = `musl-gcc -std=c11 -D_GNU_SOURCE -static -idirafter /usr/include \\
    -idirafter "/usr/include/$(gcc -print-multiarch)" -o agent src/*.c`
  const { status, stderr } = spawnSync("/bin/sh", ["-c", line], { cwd: folder, encoding: "utf8" })
  if (status !== 0) throw new Error(stderr.slice(0, 1000))
  return join(folder, "agent")
}

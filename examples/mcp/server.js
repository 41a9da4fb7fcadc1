#!/usr/bin/env node
// An MCP server over standard input and output: SOCKET is the daemon's, SNAPSHOT a snapshot with an agent.
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js"
import { ApiError, connect } from "@ovms/client"
import { z } from "zod"

const { SOCKET = "/run/ovm/ovm.sock", SNAPSHOT: manifest = "demo:ready" } = process.env
const runtime = connect(SOCKET)

/** What an assistant reads at most of what a command writes, and of what it leaves, in bytes each. */
const MOST = 256 << 10
const PATH = z.string().regex(/^\/.+/, "an absolute path")
const SECONDS = z.number().int().min(1).max(600)

const server = new McpServer({ name: "ovm", version: "0.1.0" })

server.registerTool(
  "run",
  {
    title: "Run a script in a machine of its own",
    description:
      "Runs lines of shell in a fresh virtual machine, as root, and removes it with all that it wrote. Nothing of one " +
      "call is there in the next: put in what is needed by `files`, and get out what is wanted by `outputs`.",
    inputSchema: {
      script: z.string().min(1).describe("Lines for sh."),
      files: z.record(PATH, z.string()).optional().describe("Texts by the paths that they are to be at."),
      outputs: z.array(PATH).max(64).optional().describe("Files and folders to be read once it has ended."),
      timeout_seconds: SECONDS.optional().describe("After that it is killed. Default 60."),
    },
    outputSchema: {
      exit_code: z.number().int(),
      timed_out: z.boolean(),
      truncated: z.boolean().describe("There was more than is here."),
      stdout: z.string(),
      stderr: z.string(),
      files: z.record(z.string(), z.string()).describe("What was at the outputs, by path."),
      missing: z.record(z.string(), z.string()).describe("Outputs that could not be read, and why."),
    },
    annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: true },
  },
  async (wanted, { signal }) => {
    try {
      return told(await run(wanted, signal))
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown
      return { isError: true, content: [{ type: "text", text: `${thrown.code}: ${thrown.message}` }] }
    }
  },
)

async function run({ script, files = {}, outputs = [], timeout_seconds = 60 }, signal) {
  const answer = await runtime.sandbox(
    {
      manifest,
      command: ["sh", "-c", script],
      files: Object.entries(files).map(([path, text]) => ({ path, content: base64(text) })),
      outputs: [...new Set(outputs)],
      timeout_ms: timeout_seconds * 1000,
      output_limit: MOST,
    },
    { signal },
  )
  const { exit_code, timed_out = false, truncated = false, stdout, stderr } = answer
  return {
    ...{ exit_code, timed_out, truncated, stdout, stderr },
    files: Object.fromEntries(answer.files.map(({ path, content }) => [path, textOf(content)])),
    missing: Object.fromEntries(answer.failed.map(({ path, error }) => [path, error.message])),
  }
}

/** For programs, and as JSON for those that know texts alone. */
function told(result) {
  return { structuredContent: result, content: [{ type: "text", text: JSON.stringify(result) }] }
}

const base64 = (text) => Buffer.from(text).toString("base64")
/** What is no text is given as it came, in base64. */
function textOf(content) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(content, "base64"))
  } catch {
    return `data:application/octet-stream;base64,${content}`
  }
}

await server.connect(new StdioServerTransport())

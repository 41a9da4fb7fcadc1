/** Its path, in the compiled program too (scripts/static.sh makes it). */
declare module "*/agent/dist/ovm-agent" {
  const path: string
  export default path
}

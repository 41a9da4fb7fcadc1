"""Starts machines beside each other and says when all of them run: python many.py IMAGE COUNT"""

import asyncio
import sys

from ovms import AsyncClient


async def one(runtime: AsyncClient, image: str) -> str:
    instance_id = (await runtime.start({"manifest": image}))["instance_id"]
    while (await runtime.status(instance_id))["state"] == "starting":
        await asyncio.sleep(0.05)
    return instance_id


async def main(image: str, count: int) -> None:
    runtime = AsyncClient()
    ids = await asyncio.gather(*(one(runtime, image) for _ in range(count)))
    print(f"{len(ids)} machines run")
    await asyncio.gather(*(runtime.remove(instance_id, force=True) for instance_id in ids))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))

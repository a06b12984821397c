"""Makes what the requests of a fuzz can be about, and prints its ids: an image, a run that goes on, one that is over."""

import json
import time

from contree_client.http import ContreeClient

from cases import PROJECT, TOKEN, URL, imported

imported()
with ContreeClient(TOKEN, base_url=URL, project=PROJECT) as client:
    image = client.resolve_image("busybox:latest")
    running = client.spawn_instance("sleep 600", image, shell=True, disposable=True, timeout=600).uuid
    over = client.spawn_instance("echo over", image, shell=True, disposable=True).uuid
    client.wait_operation(over, timeout=60)
    while client.get_operation_status(running).status != "EXECUTING":
        time.sleep(0.02)
    print(json.dumps({"image": image, "running": running, "over": over}))

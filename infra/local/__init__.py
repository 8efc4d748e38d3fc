"""The docker-less twin of `sam local`: a template's whole stack in one process tree, so that nothing is declared twice.

    with Twin(Path("template.yaml")) as twin:
        httpx.post(f"{twin.url}/api/v1/chat", json={"message": "What is Python?"})

Reading order: `twin` puts the parts together; `template` reads the template (with `intrinsics`, `naming`, `events`,
`filters`) into the shapes of `resources`; `cloud` is moto with `vectors`; `functions` is Lambda's invoke over worker
processes (`runtime`, `runtime_api`, `runtime_client`); `http_api` (with `http_event`) is the HTTP API; the `*_source`
modules poll queues, streams and clocks.

Not done, beside what is an error when a template asks for it: IAM, CORS, throttling, memory limits, the batching
window of streams, TTL deletion (moto never deletes), and scaling out over the cap of environments (callers wait).
"""

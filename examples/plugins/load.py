#!/usr/bin/python3
"""A Secondline plugin in Python: the load of a Linux server.

It needs python3-grpcio. What is yours stands first; what follows "The wire" is
the same for every plugin. Try it with:

    secondline plugin verify --plain ./load.py

The file must be one: its checksum is what an agent trusts, and an agent runs
the very bytes that it has checked.
"""

import os
import queue
import sys
import threading
import time
from concurrent import futures

NAME = "load"
VERSION = "1"
# What the agent is to allow: run:PROGRAM, file:/PATTERN, as:USER. Nothing else reaches the server.
CAPABILITIES = ["read", "file:/proc/loadavg"]


class Load:
    """One probe. read touches the server, parse only understands: the same bytes give the same value."""

    name = "load"
    title = "Load averages"
    doc = "/proc/loadavg, see proc(5)."
    cost_seconds = 0.01
    inputs = []
    outputs = [
        {"name": "one", "type": "double", "doc": "of the last minute"},
        {"name": "five", "type": "double", "doc": "of the last five minutes"},
        {"name": "fifteen", "type": "double", "doc": "of the last fifteen minutes"},
        {"name": "running", "type": "int", "doc": "threads that can run now"},
        {"name": "threads", "type": "int", "doc": "all threads"},
    ]

    def read(self, host, args):
        host.read_file("loadavg", "/proc/loadavg", 1000)

    def parse(self, raws, args):
        raw = raws.get("loadavg")
        if raw is None:
            return None, "failed", "nothing was read"
        if raw.status != "ok":  # what could not be read is never "fine"
            return None, raw.status, raw.error
        try:
            one, five, fifteen, threads, _ = raw.data.decode("ascii").split()
            running, total = threads.split("/")
            value = {"one": float(one), "five": float(five), "fifteen": float(fifteen), "running": int(running), "threads": int(total)}
        except ValueError as e:
            return None, "failed", "not of the form of proc(5): %s" % e
        return value, "ok", ""


PROBES = [Load()]

# ---------------------------------------------------------------------------------------------------
# The wire: messages of plugins/proto/plugin.proto by number, type and name ("*" is repeated; a map is
# a repeated Entry), and what go-plugin wants of a plugin. Declared as proto2, so that a zero is sent.

MESSAGES = {
    "DescribeRequest": "1:uint32:host_stream",
    "DescribeResponse": "1:string:name 2:string:version 3:*string:capabilities 4:*Spec:probes",
    "Spec": "1:string:name 2:string:title 3:string:doc 4:*Field:inputs 5:*Field:outputs 6:double:cost_seconds",
    "Field": "1:string:name 2:string:type 3:string:doc 4:bool:required 5:bool:optional 6:*Field:elem",
    "TextEntry": "1:string:key 2:string:value",
    "ValueEntry": "1:string:key 2:Value:value",
    "ReadRequest": "1:uint64:session 2:string:probe 3:*TextEntry:args 4:int64:timeout_ms 5:string:target",
    "Time": "1:int64:seconds 2:int32:nanos",
    "ReadResponse": "1:*Raw:raws 2:string:error 3:bool:timed_out",
    "Raw": "1:string:name 2:string:command 3:string:status 4:int32:exit_code 5:string:error 6:bytes:data 7:bool:truncated 8:Time:at 9:int64:took_ns",
    "ParseRequest": "1:string:probe 2:*TextEntry:args 3:*Raw:raws",
    "ParseResponse": "1:*ValueEntry:value 2:string:status 3:string:error",
    "Value": "1:string:text 2:sint64:int 3:double:double 4:bool:bool 5:Time:time 6:List:list 7:Map:map",
    "List": "1:*Value:values",
    "Map": "1:*ValueEntry:fields",
    "HostError": "1:string:class 2:string:message",
    "RunRequest": "1:uint64:session 2:*bytes:argv 3:*TextEntry:env 4:bytes:stdin 5:string:as 6:int64:timeout_ms 7:int64:max_output_bytes",
    "RunResponse": "1:bytes:stdout 2:bytes:stderr 3:bool:truncated 4:int32:exit_code 5:string:signal 8:HostError:error",
    "ReadFileRequest": "1:uint64:session 2:bytes:path 3:int64:max_bytes",
    "ReadFileResponse": "1:bytes:data 2:bool:truncated 3:HostError:error",
    "ConnInfo": "1:uint32:service_id 2:string:network 3:string:address",
    "Empty": "",
}
SERVICE = "secondline.plugin.v1."
PROTOCOL = 1
STATUS_OF_CLASS = {"not_exist": "absent", "not_permitted": "denied", "timed_out": "timed_out"}


def make_messages():
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="secondline.proto", package="secondline", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            number, kind, field = text.split(":")
            label = kinds.LABEL_REPEATED if kind[0] == "*" else kinds.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            one = message.field.add(name=field, number=int(number), label=label)
            if kind in MESSAGES:
                one.type, one.type_name = kinds.TYPE_MESSAGE, ".secondline." + kind
            else:
                one.type = getattr(kinds, "TYPE_" + kind.upper())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    new = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    return {name: new(pool.FindMessageTypeByName("secondline." + name)) for name in MESSAGES}


class Host:
    """The server, for the time of one read. Every call is kept as a raw under its name."""

    def __init__(self, messages, channel, request):
        self.m, self.channel, self.session, self.target = messages, channel, request.session, request.target
        self.ends = time.monotonic() + request.timeout_ms / 1000
        self.raws = []

    def run(self, name, argv, as_user="", timeout=10, max_output_bytes=1 << 20, stdin=b""):
        request = self.m["RunRequest"](
            session=self.session, argv=[a.encode() for a in argv], stdin=stdin, timeout_ms=int(timeout * 1000), max_output_bytes=max_output_bytes
        )
        setattr(request, "as", as_user)
        raw, got = self._call(name, " ".join(argv), "Run", request, "RunResponse")
        if got is not None:
            raw.data, raw.exit_code, raw.truncated, raw.error = got.stdout, got.exit_code, got.truncated, got.stderr.decode("utf-8", "replace")[:1000]
            raw.status = "failed" if got.signal else "truncated" if got.truncated else "ok"
        return raw

    def read_file(self, name, path, max_bytes):
        request = self.m["ReadFileRequest"](session=self.session, path=path.encode(), max_bytes=max_bytes)
        raw, got = self._call(name, "read-file " + path, "ReadFile", request, "ReadFileResponse")
        if got is not None:
            raw.data, raw.truncated, raw.status = got.data, got.truncated, "truncated" if got.truncated else "ok"
        return raw

    def _call(self, name, command, method, request, response):
        import grpc

        raw = self.m["Raw"](name=name, command=command, status="failed")
        self.raws.append(raw)
        raw.at.seconds, began = int(time.time()), time.monotonic()
        call = self.channel.unary_unary(
            "/" + SERVICE + "Host/" + method, lambda q: q.SerializeToString(), self.m[response].FromString
        )
        try:
            got = call(request, timeout=max(0.001, self.ends - time.monotonic()))
        except grpc.RpcError as e:
            got, raw.error = None, str(e.details())[:1000]
            raw.status = {"DEADLINE_EXCEEDED": "timed_out", "PERMISSION_DENIED": "denied"}.get(e.code().name, "failed")
        raw.took_ns = int((time.monotonic() - began) * 1e9)
        if got is not None and got.HasField("error"):
            raw.status, raw.error = STATUS_OF_CLASS.get(getattr(got.error, "class"), "failed"), got.error.message
            got = None
        return raw, got


class Plugin:
    """Answers the agent."""

    def __init__(self, messages):
        self.m, self.channel, self.streams = messages, None, queue.Queue()
        self.probes = {p.name: p for p in PROBES}

    def start_stream(self, requests, context):  # go-plugin's broker: where the agent serves Host
        for info in requests:
            self.streams.put(info)
        yield from ()

    def describe(self, request, context):
        import grpc

        info = self.streams.get(timeout=20)
        while info.service_id != request.host_stream:
            info = self.streams.get(timeout=20)
        self.channel = grpc.insecure_channel("unix:" + info.address, options=SIZES)
        return self.m["DescribeResponse"](
            name=NAME, version=VERSION, capabilities=CAPABILITIES,
            probes=[
                self.m["Spec"](
                    name=p.name, title=p.title, doc=p.doc, cost_seconds=p.cost_seconds,
                    inputs=[self.field(f) for f in p.inputs], outputs=[self.field(f) for f in p.outputs],
                )
                for p in PROBES
            ],
        )

    def field(self, f):
        return self.m["Field"](**dict(f, elem=[self.field(e) for e in f.get("elem", [])]))

    def find(self, name, context):
        import grpc

        if name not in self.probes:
            context.abort(grpc.StatusCode.NOT_FOUND, "probe %r is not served" % name)
        return self.probes[name]

    def read(self, request, context):
        probe, host = self.find(request.probe, context), Host(self.m, self.channel, request)
        try:
            probe.read(host, {e.key: e.value for e in request.args})
        except Exception as e:  # of the author's code: an answer, not the end of the process
            return self.m["ReadResponse"](raws=host.raws, error=("%s: %s" % (type(e).__name__, e))[:1000], timed_out=time.monotonic() > host.ends)
        return self.m["ReadResponse"](raws=host.raws)

    def parse(self, request, context):
        probe = self.find(request.probe, context)
        try:
            value, status, error = probe.parse({r.name: r for r in request.raws}, {e.key: e.value for e in request.args})
            if status != "ok" and error:
                return self.m["ParseResponse"](status=status, error=error[:1000])
            return self.m["ParseResponse"](status=status, value=self.entries(value or {}))
        except Exception as e:
            return self.m["ParseResponse"](status="failed", error=("%s: %s" % (type(e).__name__, e))[:1000])

    def entries(self, fields):
        return [self.m["ValueEntry"](key=k, value=self.value(v)) for k, v in fields.items()]

    def value(self, v):
        if isinstance(v, bool):
            return self.m["Value"](bool=v)
        if isinstance(v, int):
            return self.m["Value"](int=v)
        if isinstance(v, float):
            return self.m["Value"](double=v)
        if isinstance(v, str):
            return self.m["Value"](text=v)
        if isinstance(v, list):
            return self.m["Value"](list=self.m["List"](values=[self.value(e) for e in v]))
        return self.m["Value"](map=self.m["Map"](fields=self.entries(v)))


# The bounds of an agent: what it sends and takes in one message.
SIZES = [("grpc.max_receive_message_length", 40 << 20), ("grpc.max_send_message_length", 32 << 20)]


def serve():
    if os.environ.get("SECONDLINE_PLUGIN") != "probes-read-only":
        sys.exit("This is a plugin of Secondline. An agent starts it; try it with: secondline plugin verify --plain " + sys.argv[0])
    if str(PROTOCOL) not in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", str(PROTOCOL)).split(","):
        sys.exit("This plugin speaks protocol %d, the agent %s." % (PROTOCOL, os.environ["PLUGIN_PROTOCOL_VERSIONS"]))
    import grpc

    messages = make_messages()
    plugin = Plugin(messages)

    def unary(do, request, response=None):
        return grpc.unary_unary_rpc_method_handler(do, messages[request].FromString, lambda m: m.SerializeToString())

    def shutdown(request, context):
        threading.Timer(0.1, os._exit, [0]).start()
        return messages["Empty"]()

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=SIZES)
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler(SERVICE + "Plugin", {
            "Describe": unary(plugin.describe, "DescribeRequest"),
            "Read": unary(plugin.read, "ReadRequest"),
            "Parse": unary(plugin.parse, "ParseRequest"),
        }),
        grpc.method_handlers_generic_handler("plugin.GRPCBroker", {
            "StartStream": grpc.stream_stream_rpc_method_handler(plugin.start_stream, messages["ConnInfo"].FromString, lambda m: m.SerializeToString()),
        }),
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": unary(shutdown, "Empty")}),
    ))
    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin%d" % os.getpid())
    server.add_insecure_port("unix:" + path)
    server.start()
    print("1|%d|unix|%s|grpc" % (PROTOCOL, path), flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # an agent that is killed cannot end its plugins
        time.sleep(1)


if __name__ == "__main__":
    serve()

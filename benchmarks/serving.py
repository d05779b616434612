"""How fast does `kertl serve` answer, beside the model itself, and what do malformed requests do to it?

A model serves in a process of its own. The model alone, in batches of 32, and the server with 1 and 8 callers at once
take turns, for `--seconds` each; requests a second, the median and the 99th percentile of the time of an answer, and
the share of the model's own speed are printed. Then `--malformed` requests that are none come in (cut-off images, wrong
forms, wrong lengths, random bytes, too many files); the server must answer each, and its memory is read before and
after.

    python benchmarks/serving.py [--seconds 10] [--malformed 10000]
"""

import argparse
import base64
import http.client
import io
import json
import multiprocessing
import os
import statistics
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil
import record
from PIL import Image

SIDE = 160


def model():
    """MobileNetV2 at 160 px with random weights, which take as long as any."""
    import keras

    import kertl

    keras.utils.set_random_seed(0)
    return kertl.build("MobileNetV2", num_classes=10, weights=None, input_shape=(SIDE, SIDE, 3))


def serve(port):
    import uvicorn

    from kertl.report._server import application

    uvicorn.run(application(model()), port=port, log_level="warning")


def jpegs(count=64):
    """Photos of 320 by 240 pixels."""
    found = []
    for number in range(count):
        small = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype="uint8")
        content = io.BytesIO()
        Image.fromarray(small).resize((320, 240), Image.Resampling.BICUBIC).save(content, "JPEG")
        found.append(content.getvalue())
    return found


def request(connection, body, kind="image/jpeg", path="/predict"):
    """The status of the answer."""
    connection.request("POST", path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def load(port, callers, seconds, images):
    """Requests a second, and the times of the answers, with so many callers at once."""
    times, end = [], time.perf_counter() + seconds

    def call(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        place = number
        while (start := time.perf_counter()) < end:
            assert request(connection, images[place % len(images)]) == 200
            times.append(time.perf_counter() - start)
            place += callers
        connection.close()

    begun = time.perf_counter()
    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(times) / (time.perf_counter() - begun), times


def alone(network, images, seconds):
    """Images a second from JPEG to prediction in batches of 32, without a server."""
    import kertl

    done, end, start = 0, time.perf_counter() + seconds, time.perf_counter()
    while time.perf_counter() < end:
        batch = np.stack([kertl.data.read_image(images[(done + k) % len(images)], (SIDE, SIDE)) for k in range(32)])
        network.predict_on_batch(batch)
        done += 32
    return done / (time.perf_counter() - start)


def nonsense(random, image):
    """The body and the kind of a request that is none."""
    cut = image[: int(random.integers(1, len(image)))]
    match int(random.integers(7)):
        case 0:
            return cut, "image/jpeg"
        case 1:
            return random.bytes(int(random.integers(0, 4096))), "image/png"
        case 2:
            return b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n' + cut, (
                "multipart/form-data; boundary=x"
            )
        case 3:
            return json.dumps({"images": [base64.b64encode(cut).decode()[:-1]] * 40}).encode(), "application/json"
        case 4:
            return b"[" * int(random.integers(1, 50_000)), "application/json"
        case 5:
            return cut, "text/plain; " + "a" * 200
        case _:
            return b"", "multipart/form-data"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--malformed", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(options.port,), daemon=True)
    server.start()
    images, network = jpegs(), model()
    while True:
        try:
            http.client.HTTPConnection("127.0.0.1", options.port, timeout=1).connect()
            break
        except OSError:
            time.sleep(0.2)
    for callers in (1, 8):
        load(options.port, callers, 3, images)  # compiles each size of batch
    alone(network, images, 2)
    rows = []
    own = []
    for callers in (1, 8):
        own.append(alone(network, images, options.seconds))
        rate, times = load(options.port, callers, options.seconds, images)
        ordered = sorted(times)
        rows.append(
            {
                "callers": callers,
                "requests_per_second": round(rate, 1),
                "model_images_per_second": round(own[-1], 1),
                "share": round(rate / own[-1], 2),
                "median_ms": round(1000 * statistics.median(times), 1),
                "p99_ms": round(1000 * ordered[int(0.99 * (len(ordered) - 1))], 1),
            }
        )
        print(rows[-1], flush=True)
    random, process = np.random.default_rng(0), psutil.Process(server.pid)
    statuses, before = {}, process.memory_info().rss
    start = time.perf_counter()
    for number in range(options.malformed):
        body, kind = nonsense(random, images[number % len(images)])
        connection = http.client.HTTPConnection("127.0.0.1", options.port, timeout=60)
        status = request(connection, body, kind)
        statuses[status] = statuses.get(status, 0) + 1
        connection.close()
        if number == options.malformed // 10:
            before = process.memory_info().rss  # once caches are filled
    grown = (process.memory_info().rss - before) / 2**20
    connection = http.client.HTTPConnection("127.0.0.1", options.port, timeout=60)
    assert request(connection, images[0]) == 200, "it no longer answers"
    print(
        f"{options.malformed} malformed requests in {time.perf_counter() - start:.0f} s: statuses {statuses}, memory "
        f"{grown:+.1f} MB since the first tenth; it still answers"
    )
    record.keep("serving", rows)
    server.terminate()


if __name__ == "__main__":
    main()

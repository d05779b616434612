"""A trained model behind HTTP: a page to drop images on, and `POST /predict` for programs."""

import asyncio
import base64
import binascii
import functools
import importlib.resources
import json
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kertl.data import read_image
from kertl.errors import DataError
from kertl.evaluation import answers, resize_of
from kertl.evaluation._predict import refuse_broken
from kertl.model import picture_shape
from kertl.report._batching import Batching
from kertl.report._thumbnails import thumbnail

if TYPE_CHECKING:
    import keras
    import numpy as np
    from starlette.requests import Request

    from kertl.report._gallery import Gallery

    Whole = Callable[[], tuple[keras.Model, Gallery | None]]

MOST_BYTES = 32 * 2**20
"""Of a request."""
MOST_IMAGES = 32
"""Of a request."""
_DECODED_AT_ONCE = 4
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_FILES = {"/": "serve.html", "/serve.js": "serve.js", "/serve.css": "serve.css"}
_KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript", "css": "text/css"}


def application(
    model: "keras.Model",
    *,
    whole: "Whole | None" = None,
    most_bytes: int = MOST_BYTES,
    most_images: int = MOST_IMAGES,
) -> Starlette:
    """An ASGI application that answers for a model.

    `GET /` is a page to drop images on. `POST /predict` takes images as files of a form (`curl -F file=@a.png
    http://127.0.0.1:8000/predict`), as one body of an image type, or as JSON `{"images": [base64, ...]}`; its answer is
    JSON, `{"answers": [...]}`, in the order of the images, each with what `kertl.answers` gives, or with `error`; the
    status is 422 if none can be read. `POST /explain` takes one image and also gives `places`, a picture of what speaks
    for the prediction, and `nearest`, the training images that resemble it, where there are any. `GET /health` says
    that it is there.

    Args:
        model: A model that takes pictures of one size.
        whole: Gives the model itself, of which `model` may be an export, and the training images to look among, if any,
            for the first `POST /explain`. None for `model`, and no images.
        most_bytes: The most bytes of a request; > 0.
        most_images: The most images of a request; > 0.
    """
    service = _Service(model, whole or (lambda: (model, None)), most_bytes, most_images)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        yield
        await run_in_threadpool(service.batching.close)

    routes = [Route(path, _file(name)) for path, name in _FILES.items()]
    routes += [
        Route("/predict", service.predict, methods=["POST"]),
        Route("/explain", service.explain, methods=["POST"]),
        Route("/health", service.health),
    ]
    handlers: Any = {HTTPException: _told}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


class _Service:
    """What is answered to each kind of request."""

    def __init__(self, model: "keras.Model", whole: "Whole", most_bytes: int, most_images: int) -> None:
        refuse_broken(model)
        size, channels = picture_shape(model)
        if size is None:
            raise DataError(f"`model` must take pictures of one size. Received: {model.name!r}, which takes any.")
        self._whole, self._loading = functools.cache(whole), threading.Lock()
        self._model, self._size, self._channels = model, size, channels or 3
        self._resize = resize_of(model)
        self._most = most_bytes, most_images
        self._decoders = asyncio.Semaphore(_DECODED_AT_ONCE)  # bounds the memory of images that are being decoded
        self.batching = Batching(model)

    async def predict(self, request: "Request") -> Response:
        """An answer for each image."""
        images = await _images(request, *self._most)
        found = await asyncio.gather(*(self._answered(name, content) for name, content in images))
        status = 200 if any(image is not None for _, image in found) else 422
        return JSONResponse({"answers": [answer for answer, _ in found]}, status, headers=_HEADERS)

    async def explain(self, request: "Request") -> Response:
        """The answer for one image, the places that speak for it, and the training images nearest to it."""
        images = await _images(request, *self._most)
        if len(images) > 1:
            raise HTTPException(400, f"`/explain` must be given one image. Received: {len(images)}.")
        answer, image = await self._answered(*images[0])
        if image is not None:
            answer |= await run_in_threadpool(self._explained, image)
        return JSONResponse({"answers": [answer]}, headers=_HEADERS)

    def _explained(self, image: "np.ndarray") -> dict[str, Any]:
        """The places that speak for a prediction, or a note why they cannot be shown, and the nearest images."""
        from kertl.interpretation import NothingToShowError, where_it_looks

        with self._loading:  # an export has no gradients, so the model itself is loaded when it is first asked
            model, gallery = self._whole()
        found: dict[str, Any] = {} if gallery is None else {"nearest": gallery.nearest(image)}
        try:
            (places,), told = where_it_looks(model, image[None], check=False)
        except NothingToShowError as error:
            return {**found, "note": str(error)}
        return {**found, "places": thumbnail(image, places), "places_show": told}

    async def health(self, request: "Request") -> Response:
        """That it is there, and for which pictures."""
        return JSONResponse({"model": self._model.name, "image_size": list(self._size)}, headers=_HEADERS)

    async def _answered(self, name: str, content: bytes) -> tuple[dict[str, Any], "np.ndarray | None"]:
        """An answer, and the pixels that it is about; None if they cannot be read."""
        try:
            async with self._decoders:
                options = {"channels": self._channels}
                image = await run_in_threadpool(read_image, content, self._size, self._resize, **options)
        except DataError as error:
            return {"file": name, "error": str(error)}, None
        said = await self.batching.ask(image)
        return {"file": name, **answers(self._model, said[None])[0]}, image


async def _images(request: "Request", most_bytes: int, most_images: int) -> list[tuple[str, bytes]]:
    """The images of a request with their names.

    Raises:
        HTTPException: If it is too large, has too many images or none, or is not in one of the three forms.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        length = request.headers.get("content-length", "")
        if not length.isdigit():
            raise HTTPException(411, "A form must tell its length.")
        _refuse_more(int(length), most_bytes)
        async with request.form(max_files=most_images, max_fields=0, max_part_size=most_bytes) as form:
            found = [
                (one.filename or "image", await one.read())
                for _, one in form.multi_items()
                if isinstance(one, UploadFile)
            ]
    elif kind == "application/json":
        found = _from_json(await _body(request, most_bytes), most_images)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        found = [("image", await _body(request, most_bytes))]
    else:
        raise HTTPException(
            415,
            "Send image files, as `curl -F file=@a.png` does, one image with its content-type, or JSON "
            f'{{"images": [base64, ...]}}. Received: content-type {kind!r}.',
        )
    if not found:
        raise HTTPException(400, "At least one image must be sent. Received: none.")
    return found


async def _body(request: "Request", most: int) -> bytes:
    """The body of a request, which ends at once if it is too large."""
    found = bytearray()
    async for piece in request.stream():
        found += piece
        _refuse_more(len(found), most)
    return bytes(found)


def _refuse_more(count: int, most: int) -> None:
    if count > most:
        raise HTTPException(413, f"A request must have at most {most:,} bytes. Received: more.")


def _from_json(body: bytes, most: int) -> list[tuple[str, bytes]]:
    try:
        images = json.loads(body)["images"]
        if not isinstance(images, list) or not all(isinstance(one, str) for one in images):
            raise TypeError("`images` is no list of texts")
        if len(images) > most:
            raise HTTPException(413, f"A request must have at most {most} images. Received: {len(images)}.")
        return [(f"image {number}", base64.b64decode(one, validate=True)) for number, one in enumerate(images, start=1)]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise HTTPException(400, 'The body must be JSON of the form {"images": [base64, ...]}.') from error


def _file(name: str) -> Any:
    content = importlib.resources.files("kertl.report").joinpath(name).read_bytes()
    headers = {**_HEADERS, "Content-Type": _KINDS[name.rsplit(".", 1)[1]]}

    async def served(request: "Request") -> Response:
        return Response(content, headers=headers)

    return served


async def _told(request: "Request", error: HTTPException) -> Response:
    told = str(error.detail)
    if error.status_code == 405:
        told = (
            f"{request.url.path} must be asked with {(error.headers or {}).get('Allow', 'another method')}. Received: "
            f"{request.method}. Images are sent by POST: curl -F file=@a.png {request.base_url}predict"
        )
    elif error.status_code == 404:
        told = f"{request.url.path} is not here: there are GET /, GET /health, POST /predict and POST /explain."
    headers = {**_HEADERS, **(error.headers or {})}
    return JSONResponse({"error": told}, status_code=error.status_code, headers=headers)

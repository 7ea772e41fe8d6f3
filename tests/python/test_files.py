"""Files and uploads by the unmodified SDK, and files in a conversation."""

import json

import openai
import pytest
import upstream as fake
from conftest import PATIENCE_S, Server

LARGE = bytes(range(256)) * (5 << 12)  # 5 MiB: two pieces


@pytest.fixture(scope="module")
def upstream():
    upstream = fake.Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory, upstream):
    server = Server(tmp_path_factory.mktemp("files"), start=False)
    server.config.write_text(
        server.config.read_text()
        + f'\n[[provider]]\nname = "up"\nkind = "openai-responses"\nbase_url = "{upstream.url}/v1"\n'
        + '[[deployment]]\nmodel = "seeing"\nprovider = "up"\nupstream_model = "up-model"\n'
    )
    server.start()
    yield server
    assert server.stop() == 0, "the server did not drain and exit cleanly"


@pytest.fixture
def client(house):
    with house.client(max_retries=0) as client:
        yield client


def test_a_file_comes_back_as_it_was_sent_also_after_a_kill(client, house):
    file = client.files.create(file=("large.bin", LARGE), purpose="user_data")
    assert (file.bytes, file.filename, file.purpose, file.status) == (len(LARGE), "large.bin", "user_data", "processed")
    assert client.files.content(file.id).read() == LARGE
    house.stop(kill=True)
    house.start()
    with house.client() as client:
        assert client.files.retrieve(file.id) == file
        assert client.files.content(file.id).read() == LARGE


def test_lists_page_and_filter(client):
    ids = [client.files.create(file=(f"{n}.txt", b"x"), purpose="assistants").id for n in range(3)]
    listed = client.files.list(purpose="assistants", order="asc", limit=2)
    assert [file.id for file in listed.data] == ids[:2] and listed.has_more
    assert [file.id for file in client.files.list(purpose="assistants", order="asc")] == ids
    assert [file.id for file in client.files.list(purpose="assistants", after=ids[2])] == [ids[1], ids[0]]


def test_a_deleted_file_is_gone(client, house):
    file = client.files.create(file=("a.txt", b"secret content"), purpose="user_data")
    assert client.files.delete(file.id).deleted
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file.id)
    assert file.id not in [known.id for known in client.files.list()]
    house.stop(kill=True)
    house.start()
    with house.client() as client, pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_an_upload_in_parts_out_of_order(client):
    parts = [b"one " * 400_000, b"two " * 1_500_000, b"three"]
    size = sum(map(len, parts))
    upload = client.uploads.create(bytes=size, filename="a.txt", mime_type="text/plain", purpose="user_data")
    assert upload.status == "pending"
    ids = [client.uploads.parts.create(upload.id, data=part).id for part in reversed(parts)]
    with pytest.raises(openai.BadRequestError, match="announced"):
        client.uploads.complete(upload.id, part_ids=ids[:1])
    done = client.uploads.complete(upload.id, part_ids=list(reversed(ids)))
    assert (done.status, done.file.bytes) == ("completed", size)
    assert client.files.content(done.file.id).read() == b"".join(parts)
    with pytest.raises(openai.BadRequestError):
        client.uploads.parts.create(upload.id, data=b"more")


def test_a_cancelled_upload_takes_nothing_more(client):
    upload = client.uploads.create(bytes=3, filename="a.txt", mime_type="text/plain", purpose="user_data")
    client.uploads.parts.create(upload.id, data=b"abc")
    assert client.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.NotFoundError):
        client.uploads.complete(upload.id, part_ids=[])


def test_files_reach_the_model_and_only_their_own_tenants(client, house, upstream):
    picture = client.files.create(file=("a.png", b"\x89PNG picture"), purpose="vision")
    paper = client.files.create(file=("a.pdf", b"%PDF paper"), purpose="user_data")
    content = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "file_id": picture.id, "detail": "auto"},
        {"type": "input_file", "file_id": paper.id},
    ]
    ask = {"model": "seeing", "input": [{"role": "user", "content": content}]}
    upstream.look()
    client.responses.create(**ask)
    (_, body, _), wrong = upstream.look()[0][-1], []
    sent = json.dumps(body)
    assert "data:image/png;base64,iVBORyBwaWN0dXJl"[:22] in sent and "data:application/pdf;base64," in sent, sent
    assert "mainstay:" not in sent and not wrong
    client.files.delete(paper.id)
    client.responses.create(**ask)
    sent = json.dumps(upstream.look()[0][-1][1])
    assert "not stored any more" in sent and "application/pdf" not in sent
    other = openai.OpenAI(base_url=f"{house.url}/v1", api_key="a-key-of-another-tenant", max_retries=0)
    with pytest.raises(openai.NotFoundError):
        other.files.retrieve(picture.id)
    other.responses.create(**ask)
    assert "iVBORyBwaWN0dXJl" not in json.dumps(upstream.look()[0][-1][1])


def test_refusals_name_the_field(client, house):
    with pytest.raises(openai.BadRequestError) as wrong:
        client.files.create(file=("a", b"x"), purpose="fun")
    assert wrong.value.param == "purpose"
    raw = house.raw()
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    torn = raw.post("/v1/files", b"--x\r\nContent-Disposition: form-data; name=", headers=form)
    assert torn.status == 400 and torn.error["message"]
    none = raw.post("/v1/files", b"--x--\r\n", headers=form)
    assert (none.status, none.error["param"]) == (400, "file")
    assert raw.get("/v1/files/file_nobody").status == 404
    assert raw.get("/v1/files?after=x").status == 404

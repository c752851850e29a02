# The quickstart:  docker build -t transfer-bench . && docker run --rm -v "$PWD/runs:/work/runs" transfer-bench
# Your own data:   docker run --rm -v "$PWD:/work" transfer-bench run --dataset photos/
FROM python:3.12-slim AS build
COPY . /source
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir "/source[text,audio]"

FROM python:3.12-slim
COPY --from=build /venv /venv
RUN useradd --create-home --uid 1000 bench && mkdir /work && chown 1000 /work
USER 1000
WORKDIR /work
ENV PATH=/venv/bin:$PATH MPLBACKEND=Agg TF_CPP_MIN_LOG_LEVEL=2
ENTRYPOINT ["python", "-m", "bench"]
CMD ["run"]

# Guardrail in a container: two stages, an ordinary user, weights in the image.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY guardrail guardrail
RUN python -m venv /opt/guardrail \
    && /opt/guardrail/bin/pip install --no-cache-dir -c constraints.txt '.[postgres]' \
    && GUARDRAIL_MODELS_CACHE=/opt/models /opt/guardrail/bin/guardrail models pull

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/guardrail guardrail \
    && install -d -o guardrail -m 0700 /var/lib/guardrail
COPY --from=build /opt/guardrail /opt/guardrail
# Beside the volume, not in it: a new image brings its weights along, an old volume does not hide them.
COPY --from=build /opt/models /opt/models
ENV PATH=/opt/guardrail/bin:$PATH GUARDRAIL_HOME=/var/lib/guardrail GUARDRAIL_MODELS_CACHE=/opt/models \
    GUARDRAIL_SERVER_HOST=0.0.0.0 GUARDRAIL_SERVER_PORT=8080
USER guardrail
VOLUME /var/lib/guardrail
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['GUARDRAIL_SERVER_PORT']}/readyz\", timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["guardrail"]
CMD ["serve"]

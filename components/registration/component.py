"""Registration: trunk -> registered model version; without a trunk, finds the registered one."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-tracking", install_kfp_package=False)
def register(
    settings: dict,
    registered: dsl.Output[dsl.Model],
    link: dsl.Output[dsl.Markdown],
    trunk: dsl.Input[dsl.Model] = None,
):
    """Writes a manifest that names the model version and the trunk behind it, and a link to it in MLflow."""
    from pathlib import Path

    from components.lib.core.settings import from_dict
    from components.lib.registry import links
    from components.lib.storage.stage import stage
    from components.registration.config import Config
    from components.registration.run import run

    with stage("registration", settings) as context:
        given = Path(trunk.path) if trunk else None
        if not context.passes_on([given] if given else [], Path(registered.path), text=Path(link.path)):
            config = from_dict(Config, context.config, "registration")
            made = run(config, context, trunk=given, registered=Path(registered.path))
            links.write(Path(link.path), context, [made])

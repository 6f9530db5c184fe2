"""The rooms' doors, in the order in which the data passes."""

pytest_plugins = [
    "plugins.plan.plugin",
    "plugins.comfyui.plugin",
    "plugins.render.plugin",
    "plugins.generate.plugin",
    "plugins.review.plugin",
    "plugins.deploy.plugin",
    "plugins.publish.plugin",
    "plugins.demo.plugin",
]

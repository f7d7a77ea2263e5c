# SPDX-License-Identifier: Apache-2.0
"""Check a pool, and what this host needs for its images."""

from typing import Any

from mydriver import exception
from mydriver.ceph import blocking
from mydriver.privileged import krbd
from mydriver.stores.rbd import images, pool


def check(its_pool: pool.Pool) -> None:
    """Check that a pool is made for images, and that it answers.

    :raises ConfigurationError: with the problem and the remedy.
    """
    with its_pool.work('look at the pool') as io:
        if 'rbd' not in _applications(io):
            raise exception.ConfigurationError(
                pool.OPTION, f'{its_pool.location} is not initialised for RBD',
                f'Run rbd pool init {its_pool.name}.')
        images.ids(io)


@blocking.step
def _applications(io: Any) -> list[str]:
    return list(io.application_list())


def check_host(its_pool: pool.Pool) -> None:
    """Check that this host's kernel can map images.

    :raises ConfigurationError: with the problem and the remedy.
    """
    if not krbd.BUS.is_dir():
        raise exception.ConfigurationError(
            'mydriver_store', 'rbd needs the kernel module rbd, which is not '
            'loaded', 'Run modprobe rbd, and name it in '
            '/etc/modules-load.d/mydriver.conf.')


@blocking.step
def look(io: Any, image_id: str) -> tuple[int, str | None]:
    """Return the size of an image, and why it cannot be exported if so."""
    try:
        with images.opened(io, image_id=image_id, read_only=True) as image:
            return image.size(), problem_of(image)
    except images.not_found():
        return 0, 'its image has no header: it is damaged'


def problem_of(image: Any) -> str | None:
    """Return why an open image cannot be exported, None when it can."""
    if image.old_format():
        return 'it has the old format (rbd migration)'
    odd = images.unmappable(image.features())
    if odd:
        return f'the kernel cannot map images with {", ".join(odd)}'
    missing = [name for name in ('layering', 'exclusive-lock')
               if not image.features() & images.feature(name)]
    if missing:
        return f'it lacks the feature {missing[0]}'
    return None
